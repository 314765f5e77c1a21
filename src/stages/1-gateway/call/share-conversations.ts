import type { Logger } from "pino";
import type { Crew, FirstProcess } from "../../../runtime/process/crew.ts";
import type { CrewLine } from "../../../runtime/process/crew-line.ts";
import { type Fact, factsOf, isOfResponse } from "./conversation-facts.ts";
import { Conversations, type ConversationsOptions } from "./conversations.ts";
import { Newest } from "./newest.ts";

/** Facts in one message: some 50 kB, which takes either process about a millisecond. */
const MOST_IN_MESSAGE = 512;
/** How often a worker tells what it remembers anew, ms. After a quiet time at once: a caller may go on within milliseconds, at another worker. */
const TELL_EVERY_MS = 20;
/** Facts of each kind that a new worker is told of first, the newest: they are what most calls go on with, and it may serve before it knows the others. */
const FIRST_FOR_NEW = 8_192;
/** Facts of each kind that a new worker is told of, the newest: each 100,000 take either process about a second. */
const MOST_FOR_NEW = 100_000;
/** How long a new worker waits for what the others know before it serves, ms. */
const LEARN_MS = 2_000;

/** What a new worker is told: the newest first, then all in order, also those again, so that it forgets in the same order. Read when it is sent. */
function* forNew(memory: Conversations): Generator<Fact> {
  let told = 0;
  for (const fact of memory.facts(FIRST_FOR_NEW)) {
    told++;
    yield fact;
  }
  // Else that was all.
  if (told >= FIRST_FOR_NEW) yield* memory.facts(MOST_FOR_NEW);
}

/**
 * What one other process has to be told, over a line. Of each conversation and response only the newest fact waits, and as many of each kind as are
 * remembered: those beyond are forgotten by then, so that a process that hangs for long still hears everything later.
 */
class Outbox {
  readonly #line: CrewLine;
  readonly #versions: Newest<Fact>;
  readonly #responses: Newest<Fact>;
  #backlog: Generator<Fact> | null;
  #isSending = false;

  /** @param backlog what it has to be told besides, read a message at a time: what is new meanwhile does not wait for it */
  constructor(line: CrewLine, max: number, backlog: Generator<Fact> | null = null) {
    this.#line = line;
    this.#versions = new Newest(max);
    this.#responses = new Newest(max);
    this.#backlog = backlog;
  }

  /** Tells these, now or when what was told before has been taken. Without any: says that all is told. */
  tell(facts: readonly Fact[]): void {
    for (const fact of facts) (isOfResponse(fact) ? this.#responses : this.#versions).set(fact[0], fact);
    if (!this.#isSending) void this.#send();
  }

  async #send(): Promise<void> {
    this.#isSending = true;
    do {
      const facts = this.#take();
      if (!(await this.#line.send({ facts, isAll: this.#isAllTold }))) {
        // The other process has ended: nothing is sent any more.
        this.#backlog?.return(undefined);
        return;
      }
    } while (!this.#isAllTold);
    this.#isSending = false;
  }

  /** The facts of the next message. */
  #take(): Fact[] {
    const most = this.#backlog === null ? MOST_IN_MESSAGE : MOST_IN_MESSAGE / 2;
    const facts = this.#versions.shift(most);
    facts.push(...this.#responses.shift(most - facts.length));
    while (this.#backlog !== null && facts.length < MOST_IN_MESSAGE) {
      const next = this.#backlog.next();
      if (next.done) this.#backlog = null;
      else facts.push(next.value);
    }
    return facts;
  }

  get #isAllTold(): boolean {
    return this.#backlog === null && this.#versions.size + this.#responses.size === 0;
  }
}

/**
 * In the first process of a gateway: hears what each worker remembers and tells the others, and keeps it, for workers that start later. It serves no call, and is not held up by
 * telling: each message is put together when the one before has been taken.
 */
export function leadConversations(crew: Crew, options: ConversationsOptions): void {
  if (options.max === 0) return;
  const memory = new Conversations(options);
  const outboxes = new Set<Outbox>();
  crew.onLine((line) => {
    const outbox = new Outbox(line, options.max, forNew(memory));
    outboxes.add(outbox);
    outbox.tell([]);
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
 * @returns resolves when it has heard what they know, or has waited long enough (then it says so in the log, and hears the rest while it serves); to be waited
 *   for before calls are served
 */
export async function shareConversations(
  memory: Conversations,
  first: FirstProcess,
  { max, log }: ConversationsOptions & { readonly log: Logger },
): Promise<void> {
  if (max === 0) return;
  const learned = Promise.withResolvers<void>();
  let facts = 0;
  const line = first.openLine({
    heard(body) {
      const told = factsOf(body);
      memory.take(told);
      facts += told.length;
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
  const late = setTimeout(() => {
    log.warn(
      { facts },
      `not all that the other processes know of running conversations was heard within ${LEARN_MS.toLocaleString("en-US")} ms, the newest first: ` +
        "serving with what is known, and hearing the rest meanwhile; a conversation that is not known yet goes where the table sends its subject",
    );
    learned.resolve();
  }, LEARN_MS);
  await learned.promise;
  clearTimeout(late);
}
