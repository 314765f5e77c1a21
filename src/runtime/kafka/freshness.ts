import type { LogAdmin } from "./admin.ts";

/**
 * After how long without an answer a leader is asked for again, ms. Leaderships move one by one while a broker is restarted, and kafkajs follows without a new
 * generation of its group where the old leader is gone already: what was learned in between would name a broker that is never fetched from again.
 */
const doubtMs = 2_000;
/** How long it is believed who leads while all of them answer, ms: a leadership that went to a broker which says nothing would never be noticed. */
const beliefMs = 10_000;
/** After so long a question has been asked in vain, ms: another may find a broker that answers, where the first waits for one that does not. */
const patienceMs = 4_000;

/**
 * When all partitions of some topics were last fetched with success. kafkajs's FETCH event also fires where nothing was asked, and REQUEST also for an answer that is an error:
 * a fetch counts when both have come, of a broker that leads a partition.
 */
export class Freshness {
  readonly #admin: LogAdmin;
  readonly #topics: readonly string[];
  readonly #now: () => number;
  /** Brokers that have answered, before it is known what. */
  readonly #unread = new Set<string>();
  readonly #fetched = new Map<string, number>();
  #leaders: ReadonlyMap<string, string> | null = null;
  #isAsking = false;
  /** Counts questions: only the answer to the newest is taken. */
  #question = 0;
  #freshAtMs = 0;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(admin: LogAdmin, topics: readonly string[], now: () => number) {
    this.#admin = admin;
    this.#topics = topics;
    this.#now = now;
  }

  /** By the steady clock, epoch ms; 0 before the first time. */
  get freshAtMs(): number {
    return this.#freshAtMs;
  }

  /** A generation of the group begins: leaders may have changed. */
  joined(): void {
    this.#unread.clear();
    this.#fetched.clear();
    this.#leaders = null;
    this.#isAsking = false;
    this.#learn();
  }

  /** A broker (`host:port`) answered a Fetch, maybe with an error. */
  answered(broker: string): void {
    this.#unread.add(broker);
  }

  /** A fetch from a broker has not failed, if something was asked. @returns whether all partitions are known to be read up to a later time than before */
  fetched(nodeId: string): boolean {
    const nowMs = this.#now();
    if (this.#leaders === null) {
      this.#learn();
      return false;
    }
    const broker = this.#leaders.get(nodeId);
    if (broker !== undefined && this.#unread.delete(broker)) this.#fetched.set(nodeId, nowMs);
    let oldest = Number.POSITIVE_INFINITY;
    for (const leader of this.#leaders.keys()) oldest = Math.min(oldest, this.#fetched.get(leader) ?? 0);
    if (oldest === Number.POSITIVE_INFINITY) return false;
    const hasAdvanced = oldest > this.#freshAtMs;
    this.#freshAtMs = Math.max(this.#freshAtMs, oldest);
    if (nowMs - this.#askedAtMs > (nowMs - oldest > doubtMs ? doubtMs : beliefMs)) this.#learn();
    return hasAdvanced;
  }

  #learn(): void {
    if (this.#isAsking && this.#now() - this.#askedAtMs < patienceMs) return;
    const question = ++this.#question;
    this.#isAsking = true;
    this.#askedAtMs = this.#now();
    this.#admin
      .leadersOf(this.#topics)
      .then((leaders) => {
        if (question === this.#question) this.#leaders = leaders;
      })
      .catch(() => undefined) // the next answer asks again; until then nothing counts as fresh
      .finally(() => {
        if (question === this.#question) this.#isAsking = false;
      });
  }
}
