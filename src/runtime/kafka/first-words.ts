import type { Socket } from "node:net";
import type { ISocketFactory } from "kafkajs";
import { KnownError } from "../../errors/known-error.ts";
import { KILLED, plainSocket } from "./client.ts";

/** How long a command waits for the first word of a broker, ms. */
export const USUAL_ANSWER_MS = 15_000;
/** After so long without a connection an address is not asked any more, ms: kafkajs pauses for less between two tries. */
const FORGOTTEN_MS = 3_000;

/** An address that was connected to and has not said a word since. */
interface Silence {
  readonly sockets: Set<Socket>;
  hasConnected: boolean;
  readonly end: NodeJS.Timeout;
  forget: NodeJS.Timeout | undefined;
}

/**
 * Ends the wait of a command for a broker that takes connections and never says a word: it hangs, or something else listens there. kafkajs asks it again and
 * again, each time for as long as its slowest request may take. A healthy broker answers the first question on a connection at once, whatever it is busy with.
 *
 * A connection is given up after a third of the time, so that another of several brokers can be asked; the whole wait ends when one address has said
 * nothing for all of it. Roles do not use this: they wait an outage out.
 */
export class FirstWords {
  readonly #answerMs: number;
  readonly #silences = new Map<string, Silence>();
  readonly #sockets = new Set<Socket>();
  readonly #over = Promise.withResolvers<never>();
  #isOver = false;

  /** @param answerMs how long an address may say nothing */
  constructor(answerMs = USUAL_ANSWER_MS) {
    this.#answerMs = answerMs;
    this.#over.promise.catch(() => undefined);
  }

  /** What `work` comes to; what it still does when the wait has ended is its own to end. @throws {KnownError} KAFKA_UNREACHABLE that names the silent broker */
  async bound<T>(work: () => Promise<T>): Promise<T> {
    const working = work();
    working.catch(() => undefined);
    return Promise.race([working, this.#over.promise]);
  }

  /** Makes the sockets of kafkajs. */
  readonly socketFactory: ISocketFactory = (args) => {
    const socket = plainSocket(args);
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    if (this.#isOver) setImmediate(() => socket.destroy(new Error(KILLED)));
    else this.#listenTo(socket, `${args.host}:${args.port}`);
    return socket;
  };

  #listenTo(socket: Socket, address: string): void {
    const silence = this.#silences.get(address) ?? this.#begin(address);
    clearTimeout(silence.forget);
    silence.sockets.add(socket);
    const giveUp = setTimeout(() => afterPoll(() => silence.sockets.has(socket) && socket.destroy(new Error("it says nothing"))), this.#answerMs / 3);
    socket.once("connect", () => {
      silence.hasConnected = true;
    });
    socket.once("data", () => {
      clearTimeout(giveUp);
      if (silence.sockets.has(socket)) this.#forget(address, silence);
    });
    socket.once("close", () => {
      clearTimeout(giveUp);
      silence.sockets.delete(socket);
      if (silence.sockets.size > 0 || this.#silences.get(address) !== silence) return;
      silence.forget = setTimeout(() => this.#forget(address, silence), FORGOTTEN_MS);
      silence.forget.unref();
    });
  }

  #begin(address: string): Silence {
    const end = setTimeout(() => afterPoll(() => this.#silences.get(address) === silence && this.#end(address, silence)), this.#answerMs);
    // Its sockets keep the process; without one nobody waits any more.
    end.unref();
    const silence: Silence = { sockets: new Set(), hasConnected: false, end, forget: undefined };
    this.#silences.set(address, silence);
    return silence;
  }

  #forget(address: string, silence: Silence): void {
    clearTimeout(silence.end);
    clearTimeout(silence.forget);
    silence.sockets.clear();
    if (this.#silences.get(address) === silence) this.#silences.delete(address);
  }

  #end(address: string, { hasConnected }: Silence): void {
    this.#isOver = true;
    for (const [other, silence] of this.#silences) this.#forget(other, silence);
    const what = hasConnected ? "takes connections, and says nothing" : "did not answer";
    this.#over.reject(
      new KnownError("KAFKA_UNREACHABLE", `Kafka at ${address} ${what} (waited ${this.#answerMs / 1000} s)`, {
        fix: "look at that broker and at what stands between (a proxy, a firewall); check KAFKA_BROKERS, what the brokers advertise, and KAFKA_SSL",
      }),
    );
    for (const socket of this.#sockets) socket.destroy(new Error(KILLED));
  }
}

/** What was received while this process was busy comes first. */
function afterPoll(act: () => unknown): void {
  setImmediate(act);
}
