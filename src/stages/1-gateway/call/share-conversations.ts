import type { Crew, FirstProcess } from "../../../runtime/process/crew.ts";
import type { CrewLine } from "../../../runtime/process/crew-line.ts";
import { type Fact, factsOf, isOfResponse } from "./conversation-facts.ts";
import { Conversations, type ConversationsOptions } from "./conversations.ts";
import { Newest } from "./newest.ts";

/** Facts in one message: some 50 kB, which takes either process about a millisecond. */
const MOST_IN_MESSAGE = 512;
/** How often a worker tells what it remembers anew, ms. After a quiet time at once: a caller may go on within milliseconds, at another worker. */
const TELL_EVERY_MS = 20;
/** Facts of each kind that a new worker is told of at once, the newest: telling millions would hold up the first process for seconds. */
const MOST_FOR_NEW = 100_000;
/** How long a new worker waits for what the others know before it serves, ms. */
const LEARN_MS = 2_000;

/**
 * What one other process has to be told, over a line. Of each conversation and response only the newest fact waits, and as many of each kind as are
 * remembered: those beyond are forgotten by then, so that a process that hangs for long still hears everything later.
 */
class Outbox {
  readonly #line: CrewLine;
  readonly #versions: Newest<Fact>;
  readonly #responses: Newest<Fact>;
  #isSending = false;

  constructor(line: CrewLine, max: number) {
    this.#line = line;
    this.#versions = new Newest(max);
    this.#responses = new Newest(max);
  }

  /** Tells these, now or when what was told before has been taken. Without any: says that all is told. */
  tell(facts: readonly Fact[]): void {
    for (const fact of facts) (isOfResponse(fact) ? this.#responses : this.#versions).set(fact[0], fact);
    if (!this.#isSending) void this.#send();
  }

  async #send(): Promise<void> {
    this.#isSending = true;
    do {
      const versions = this.#versions.shift(MOST_IN_MESSAGE);
      const facts = [...versions, ...this.#responses.shift(MOST_IN_MESSAGE - versions.length)];
      // Once the other process has ended nothing is sent any more.
      if (!(await this.#line.send({ facts, isAll: this.#waiting === 0 }))) return;
    } while (this.#waiting > 0);
    this.#isSending = false;
  }

  get #waiting(): number {
    return this.#versions.size + this.#responses.size;
  }
}

/**
 * In the first process of a gateway: hears what each worker remembers and tells the others, and keeps it, for workers that start later. It serves no call.
 */
export function leadConversations(crew: Crew, options: ConversationsOptions): void {
  if (options.max === 0) return;
  const memory = new Conversations(options);
  const outboxes = new Set<Outbox>();
  crew.onLine((line) => {
    const outbox = new Outbox(line, options.max);
    outboxes.add(outbox);
    outbox.tell(memory.facts(MOST_FOR_NEW));
    return {
      heard(body) {
        const news = memory.take(factsOf(body));
        if (news.length > 0) for (const other of outboxes) if (other !== outbox) other.tell(news);
      },
      ended: () => void outboxes.delete(outbox),
    };
  });
}

/**
 * Shares what this worker remembers with the others of its gateway, from now on.
 *
 * @returns resolves when it has heard what they know, or has waited long enough; to be waited for before calls are served
 */
export async function shareConversations(memory: Conversations, first: FirstProcess, { max }: ConversationsOptions): Promise<void> {
  if (max === 0) return;
  const learned = Promise.withResolvers<void>();
  const line = first.openLine({
    heard(body) {
      memory.take(factsOf(body));
      if (typeof body === "object" && body !== null && "isAll" in body && body.isAll === true) learned.resolve();
    },
    ended: learned.resolve,
  });
  const outbox = new Outbox(line, max);
  const fresh: Fact[] = [];
  let isDue = false;
  const tellAfter = (pauseMs: number) => {
    isDue = true;
    setTimeout(tell, pauseMs).unref();
  };
  const tell = () => {
    isDue = false;
    if (fresh.length === 0) return;
    outbox.tell(fresh.splice(0));
    tellAfter(TELL_EVERY_MS);
  };
  memory.onRemembered((fact) => {
    fresh.push(fact);
    if (fresh.length >= max) outbox.tell(fresh.splice(0));
    if (!isDue) tellAfter(0);
  });
  const late = setTimeout(learned.resolve, LEARN_MS);
  await learned.promise;
  clearTimeout(late);
}
