import net from "node:net";
import tls from "node:tls";
import { type ISocketFactory, type ISocketFactoryArgs, Kafka, type LogEntry, logLevel, type RetryOptions, type SASLOptions } from "kafkajs";
import type { Logger } from "pino";
import { prepareKafkajs } from "../codec.ts";

/** TLS and SASL as kafkajs takes them; absent: plain text. */
export interface Security {
  readonly ssl?: boolean | tls.ConnectionOptions;
  readonly sasl?: SASLOptions;
}

export interface Connection {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly log: Logger;
  readonly security?: Security | undefined;
  /** Replaces the sockets; only tests do. */
  readonly socketFactory?: ISocketFactory | undefined;
}

export interface Client {
  readonly kafka: Kafka;
  /** Destroys every socket of this client and refuses new ones: whatever kafkajs still retries can not reach a broker. */
  kill(): void;
}

/** What kafkajs is given where nobody says otherwise. */
export const plainSocket: ISocketFactory = ({ host, port, ssl, onConnect }: ISocketFactoryArgs) => {
  const socket = ssl
    ? tls.connect({ host, port, ...(net.isIP(host) === 0 ? { servername: host } : {}), ...ssl }, onConnect)
    : net.connect({ host, port }, onConnect);
  socket.setKeepAlive(true, 60_000);
  socket.setNoDelay(true);
  return socket;
};

/** Of the errors that sockets of a client that was closed end with. */
export const KILLED = "this client is closed";

/**
 * Whether an error is of a client that was killed. kafkajs rejects what was under way then, and some of its promises have nobody that waits for them: the
 * process has to let these pass, for it is what a kill is meant to do.
 */
export function isOfKilledClient(error: unknown): boolean {
  return error instanceof Error && (error.message.endsWith(KILLED) || isOfKilledClient(error.cause));
}

function killableSockets(open: ISocketFactory): { factory: ISocketFactory; kill: () => void } {
  const sockets = new Set<net.Socket>();
  let isDead = false;
  return {
    factory: (args) => {
      const socket = isDead ? new net.Socket() : open(args);
      if (isDead) setImmediate(() => socket.destroy(new Error(KILLED)));
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      return socket;
    },
    kill: () => {
      isDead = true;
      for (const socket of sockets) socket.destroy(new Error(KILLED));
    },
  };
}

/**
 * One kafkajs client per use (producer, consumer, admin): clients share state otherwise (kafkajs keeps committed offsets
 * per client), and a dead producer must be cut off for good.
 */
export function openClient(connection: Connection, retry: RetryOptions, requestTimeoutMs = 10_000): Client {
  prepareKafkajs();
  const { factory, kill } = killableSockets(connection.socketFactory ?? plainSocket);
  const kafka = new Kafka({
    brokers: [...connection.brokers],
    clientId: connection.clientId,
    ...(connection.security?.ssl === undefined ? {} : { ssl: connection.security.ssl }),
    ...(connection.security?.sasl === undefined ? {} : { sasl: connection.security.sasl }),
    connectionTimeout: 3_000,
    authenticationTimeout: 10_000,
    requestTimeout: requestTimeoutMs,
    retry,
    socketFactory: factory,
    logLevel: logLevel.INFO,
    logCreator: () => (entry) => writeLog(connection.log, entry),
  });
  return { kafka, kill };
}

/** Fields of kafkajs's log entries that are safe to log; it prints payload buffers at DEBUG, which is never switched on. */
const allowed = ["groupId", "memberId", "isLeader", "broker", "topic", "partition", "retryCount", "retryTime", "error"] as const;

function writeLog(log: Logger, { level, log: entry, namespace }: LogEntry): void {
  const fields: Record<string, unknown> = { namespace };
  for (const name of allowed) {
    const value: unknown = entry[name];
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") fields[name] = value;
  }
  // kafkajs calls each retry of each request an error; the runtime reports what matters itself.
  if (level <= logLevel.WARN) log.debug({ kafkajs: fields }, entry.message);
  else log.trace({ kafkajs: fields }, entry.message);
}
