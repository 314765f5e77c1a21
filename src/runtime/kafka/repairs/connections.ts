import type { Socket } from "node:net";
import { inside, prototypeOf, replace } from "./replace.ts";

/** What a connection of kafkajs has to send. */
interface RequestQueue {
  readonly pending: readonly unknown[];
  /** Epoch ms; what the broker asked for. */
  readonly throttledUntil: number;
}

/**
 * A connection looks for requests that wait in its queue only while there can be some. By itself it sets a timer for that with a delay that lies in the past,
 * which is one of a millisecond, each time that it has looked: every connection woke its process a thousand times a second for nothing.
 */
export function repairIdleQueues(): void {
  replace<RequestQueue, [], void>(
    prototypeOf("network/requestQueue"),
    "scheduleCheckPendingRequests",
    (schedule) =>
      function () {
        if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this);
      },
  );
}

/** A connection to a broker. */
interface Connection {
  readonly socket: Socket | null;
  isConnected(): boolean;
}

/**
 * A connection whose request got no answer in time is given up. kafkajs keeps it and asks again on it, eight times, each for the whole time; where a firewall has
 * forgotten a connection, or a host has died without a word, that goes on for minutes after new connections would be answered, and nothing is read meanwhile.
 */
export function repairMuteConnections(): void {
  replace<Connection, [request: unknown], Promise<unknown>>(
    prototypeOf("network/connection"),
    "send",
    (send) =>
      async function (request) {
        try {
          return await send.call(this, request);
        } catch (error) {
          if (error instanceof Error && error.name === "KafkaJSRequestTimeoutError" && this.isConnected()) this.socket?.destroy(error);
          throw error;
        }
      },
  );
}

/** What kafkajs knows of a broker. */
interface Broker {
  /** What it said it can do; null: not asked yet. */
  versions: object | null;
  readonly connectionPool: { isConnected(): boolean };
  /** And logged in, where brokers want that. */
  isConnected(): boolean;
  disconnect(): Promise<void>;
}

/** Errors of a connection that was made, and on which the broker then said nothing. */
const wordless = ["KafkaJSConnectionClosedError", "KafkaJSRequestTimeoutError"];

/**
 * A broker that closes a connection before it has said a word, or says none, counts as one that cannot be reached: another of the list is asked then. kafkajs does
 * that only where the connection is refused; behind a balancer, which takes connections for brokers that are gone, it asked the first of the list until it gave up.
 * So each new connection begins with the question what the broker can do. kafkajs asks it on the first one only: to a broker that had died since, every further
 * connection counted as made, and a consumer began with it again and again, ten times a second, until the broker was back.
 */
export function repairBootstrap(): void {
  const { KafkaJSConnectionError } = inside<{ KafkaJSConnectionError: new (message: string, about: object) => Error }>("errors");
  const connecting = new WeakMap<Broker, Promise<void>>();
  const prototype = prototypeOf("broker");
  replace<Broker, [], Promise<void>>(prototype, "connect", (connect) => {
    const begin = async (broker: Broker) => {
      // One that is there and whose login has ended is to log in again: a broker closes it at any other word.
      if (!broker.connectionPool.isConnected()) broker.versions = null;
      try {
        await connect.call(broker);
      } catch (error) {
        if (!(error instanceof Error) || !wordless.includes(error.name)) throw error;
        await broker.disconnect().catch(() => undefined);
        throw Object.assign(new KafkaJSConnectionError(error.message, { broker: (error as Error & { broker?: string }).broker }), { cause: error });
      } finally {
        connecting.delete(broker);
      }
    };
    return function () {
      const under = connecting.get(this);
      if (under !== undefined) return under;
      if (this.isConnected()) return Promise.resolve();
      const begun = begin(this);
      connecting.set(this, begun);
      return begun;
    };
  });
  // Its socket may be open, and what it can do not be known yet: nothing can be asked of it, whoever comes meanwhile waits for the same.
  replace<Broker, [], boolean>(
    prototype,
    "isConnected",
    (isConnected) =>
      function () {
        return !connecting.has(this) && isConnected.call(this);
      },
  );
}

/** What a login says to a broker through. */
interface LoginConnection {
  readonly sasl: object;
  readonly host: string;
  readonly port: number;
  send(request: unknown): Promise<unknown>;
  sendAuthRequest(request: unknown): Promise<unknown>;
}

/**
 * A login that got no answer, since the broker went or hangs, is an outage, and another broker is asked. kafkajs takes whatever ends a login for refused credentials,
 * which end roles: it was enough that a broker was restarted while one logged in.
 */
export function repairLogins(): void {
  replace<{ connection: LoginConnection }, [], Promise<void>>(
    prototypeOf("broker/saslAuthenticator"),
    "authenticate",
    (authenticate) =>
      async function () {
        const { connection } = this;
        let failure: (Error & { readonly type?: string }) | undefined;
        const remember = (error: Error) => {
          failure = error;
          throw error;
        };
        const { sasl, host, port } = connection;
        this.connection = {
          ...{ sasl, host, port },
          send: (request) => connection.send(request).catch(remember),
          sendAuthRequest: (request) => connection.sendAuthRequest(request).catch(remember),
        };
        try {
          await authenticate.call(this);
        } catch (error) {
          throw failure === undefined || failure.type === "SASL_AUTHENTICATION_FAILED" ? error : failure;
        }
      },
  );
}
