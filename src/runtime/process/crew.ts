import cluster, { type Worker } from "node:cluster";
import { type CrewLine, LineEnd, type LineHearer, type LineMessage } from "./crew-line.ts";

/** What the first process and its workers say to each other. All bodies are JSON. */
type Message =
  | { readonly kind: "headgate:join" }
  | { readonly kind: "headgate:joined"; readonly body: unknown }
  | { readonly kind: "headgate:question"; readonly id: number; readonly body: unknown }
  | { readonly kind: "headgate:answer"; readonly id: number; readonly body: unknown }
  | { readonly kind: "headgate:told"; readonly body: unknown }
  | LineMessage;

/** What a worker answered, or why it did not. */
export type CrewAnswer =
  | { readonly worker: number; readonly kind: "answered"; readonly body: unknown }
  /** It ended before it could answer: whoever replaces it is told what `welcome` says. */
  | { readonly worker: number; readonly kind: "ended" }
  /** It runs and has not answered in time. */
  | { readonly worker: number; readonly kind: "silent" };

/** The workers of a role, as its first process sees them. */
export interface Crew {
  /** How many workers there should be. */
  readonly size: number;
  /** Workers that have joined, by number. */
  readonly members: readonly number[];
  /** Asks every worker that has joined; a worker that joins later is not waited for. @param waitMs longest wait for an answer, ms */
  askAll(question: unknown, waitMs: number): Promise<readonly CrewAnswer[]>;
  /** What a worker hears when it joins, read at that moment. */
  welcome(words: () => unknown): void;
  /** Hears what a worker tells unasked. */
  onTold(listener: (body: unknown) => void): void;
  /** Called with the line that a worker has opened. @returns who hears this end of it */
  onLine(listener: (line: CrewLine) => LineHearer): void;
}

/** The first process of a role, as one of its workers sees it. */
export interface FirstProcess {
  /**
   * Takes part from now on: each question of the first process is answered by `answer`, which is called at once, in the order in which they come.
   *
   * @returns what the first process has to say to whoever joins
   */
  join(answer: (question: unknown) => Promise<unknown>): Promise<unknown>;
  /** Tells the first process something; lost when it is gone. */
  tell(body: unknown): void;
  /** Opens the line of this worker, of which there is one. */
  openLine(hearer: LineHearer): CrewLine;
}

interface Member {
  readonly worker: Worker;
  readonly index: number;
  /** Questions that it has not answered. */
  readonly open: Map<number, (answer: CrewAnswer) => void>;
}

/** In the first process: asks all workers, and hears them. */
export class CrewLead implements Crew {
  readonly size: number;
  readonly #members = new Map<Worker, Member>();
  readonly #listeners: ((body: unknown) => void)[] = [];
  #welcome: () => unknown = () => null;
  #onLine: ((line: CrewLine) => LineHearer) | null = null;
  #nextId = 0;

  constructor(size: number) {
    this.size = size;
  }

  get members(): readonly number[] {
    return [...this.#members.values()].map(({ index }) => index).sort((a, b) => a - b);
  }

  /** Hears a worker that was started; forgets it when it ends. */
  serve(worker: Worker, index: number): void {
    const line = new LineEnd((message) => send(worker, message));
    worker.on("message", (message: Message | null) => {
      line.hear(message);
      if (message?.kind === "headgate:line-open") {
        if (this.#onLine !== null) line.open(this.#onLine(line));
      } else if (message?.kind === "headgate:join") {
        // In one step with its welcome: what is asked from now on reaches it after that.
        this.#members.set(worker, { worker, index, open: new Map() });
        send(worker, { kind: "headgate:joined", body: this.#welcome() });
      } else if (message?.kind === "headgate:answer") {
        this.#members.get(worker)?.open.get(message.id)?.({ worker: index, kind: "answered", body: message.body });
      } else if (message?.kind === "headgate:told") for (const listener of this.#listeners) listener(message.body);
    });
    const forget = () => {
      const member = this.#members.get(worker);
      this.#members.delete(worker);
      for (const settle of member?.open.values() ?? []) settle({ worker: index, kind: "ended" });
      line.end();
    };
    worker.once("disconnect", forget);
    worker.once("exit", forget);
  }

  askAll(question: unknown, waitMs: number): Promise<readonly CrewAnswer[]> {
    return Promise.all([...this.#members.values()].map((member) => this.#ask(member, question, waitMs)));
  }

  welcome(words: () => unknown): void {
    this.#welcome = words;
  }

  onTold(listener: (body: unknown) => void): void {
    this.#listeners.push(listener);
  }

  onLine(listener: (line: CrewLine) => LineHearer): void {
    this.#onLine = listener;
  }

  #ask(member: Member, question: unknown, waitMs: number): Promise<CrewAnswer> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const settle = (answer: CrewAnswer) => {
        clearTimeout(timer);
        member.open.delete(id);
        resolve(answer);
      };
      const timer = setTimeout(() => settle({ worker: member.index, kind: "silent" }), waitMs);
      member.open.set(id, settle);
      send(member.worker, { kind: "headgate:question", id, body: question });
    });
  }
}

/** It may be gone by now: then its end is heard of. */
function send(worker: Worker, message: Message): void {
  if (worker.isConnected()) worker.send(message, () => undefined);
}

/** The first process of this worker; null: this process is no worker. */
export function firstProcess(): FirstProcess | null {
  if (!cluster.isWorker) return null;
  const tell = (message: Message) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  };
  return {
    join(answer) {
      const { promise, resolve } = Promise.withResolvers<unknown>();
      const answerOne = async (id: number, question: unknown): Promise<void> => {
        try {
          tell({ kind: "headgate:answer", id, body: await answer(question) });
        } catch {
          // Then it counts as silent.
        }
      };
      process.on("message", (message: Message | null) => {
        if (message?.kind === "headgate:joined") resolve(message.body);
        else if (message?.kind === "headgate:question") void answerOne(message.id, message.body);
      });
      tell({ kind: "headgate:join" });
      return promise;
    },
    tell: (body) => tell({ kind: "headgate:told", body }),
    openLine(hearer) {
      const line = new LineEnd(tell);
      line.open(hearer);
      process.on("message", (message: Message | null) => line.hear(message));
      process.once("disconnect", () => line.end());
      line.openOther();
      return line;
    },
  };
}
