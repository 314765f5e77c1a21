import type { Request, RoutingTable } from "../../../topics/index.ts";
import { hash32 } from "../hash/hash32.ts";
import { keyOfParts } from "../signals/series.ts";

/** Subjects that are remembered per attempt, and by one task in all; each takes about 40 bytes. */
export const SUBJECTS_PER_ATTEMPT = 200_000;
export const SUBJECTS_PER_TASK = 1_000_000;
/** Records that a successor reads again, without counting them, to know the subjects that its predecessor saw. */
export const READ_BACK_RECORDS = 50_000;

const FORMAT = "f1";
const BASE = 36;
/** The thinning must not depend on what decides the arm: other seeds than `bucketOf`, and no salt. */
const THIN_SEED = 0x7f1a_2b3c;
const REST_SEED = 0x2545_f491;
const REST_BITS = 21;
const KEY_BITS = 53;

/** What of a table settles whether an attempt is known from its beginning. */
export type AttemptTable = Pick<RoutingTable, "rollout" | "attempt" | "epoch" | "attemptStartedAtMs">;
type Call = Pick<Request, "route" | "rollout" | "attempt" | "epoch" | "exposure" | "subject">;

interface Attempt {
  readonly id: string;
  /** Offset of its first record in the partition. */
  readonly fromOffset: number;
  /** Highest epoch of any rollout in the partition before that record. */
  readonly epochBefore: number;
  newestEpoch: number;
  /** Only subjects whose key is below 2^(53 - level) are remembered and counted. */
  level: number;
  readonly keys: Set<number>;
}

interface Route {
  /** Of an attempt that started before this epoch, subjects may have been seen that are not remembered. */
  unknownTo: number;
  current: Attempt | null;
}

const idOf = ({ rollout, attempt }: Pick<Call, "rollout" | "attempt">): string => keyOfParts(rollout, attempt);

/**
 * 53 bits of hash, the upper 32 of which decide the thinning. Two subjects with one key are taken for one, which counts one too few: among 200,000 that
 * happens with probability 2e-6.
 */
const keyOf = (subject: string): number => hash32(subject, THIN_SEED) * 2 ** REST_BITS + (hash32(subject, REST_SEED) >>> (32 - REST_BITS));

/**
 * Which subjects one partition of `requests` shows for the first time in their attempt (statistics.md section 1.7): partition-local, since a subject's records
 * share a partition. No subject is ever counted twice in an attempt, and whoever is counted is counted at first sight:
 * - An attempt is counted only when nothing of it can have been seen before. The log tells: epochs only grow, every epoch of an attempt is larger than its
 *   start, and the commit metadata holds the highest epoch that was counted in this partition. An attempt that started at or after it was never seen.
 *   Otherwise the answer is "not known" (null), which adds nothing to anything.
 * - A successor reads up to 50,000 records again to remember what its predecessor saw; an attempt that began earlier is not known from then on.
 * - Beyond the limits the population is thinned by halves, by a hash of the subject that has nothing to do with its arm. A level only ever rises, so everybody
 *   who is still in the population has been remembered since the beginning; partitions may have different levels, since they share no subject.
 */
export class FirstSights {
  readonly #perAttempt: number;
  readonly #perTask: number;
  readonly #routes = new Map<string, Route>();
  #size = 0;
  /** Highest epoch of a rollout's call in this partition. */
  #highestEpoch: number;
  /** `unknownTo` of a route that was not seen yet. */
  #startsAt: number;
  /** Offset of the record from which a predecessor's attempts are read again; null: none is. */
  readonly readFrom: number | null;
  #isFirst = true;

  constructor(about: Resumed = fromTheBeginning, limits: { readonly perAttempt?: number; readonly perTask?: number } = {}) {
    this.#perAttempt = limits.perAttempt ?? SUBJECTS_PER_ATTEMPT;
    this.#perTask = limits.perTask ?? SUBJECTS_PER_TASK;
    this.#highestEpoch = about.highestEpoch;
    this.#startsAt = about.readBack?.epochBefore ?? about.highestEpoch;
    this.readFrom = about.readBack?.offset ?? null;
  }

  /** Subjects that are remembered. */
  get size(): number {
    return this.#size;
  }

  /** Nothing is known of what was in the partition before: attempts that may have begun by then are not counted. Before the first call. */
  forgetHistory(nowMs: number): void {
    this.#highestEpoch = Math.max(this.#highestEpoch, highestPossible(nowMs));
    this.#startsAt = this.#highestEpoch;
  }

  /**
   * Takes the next call of the partition.
   *
   * @param table the route's table at hand; undefined: none
   * @returns whether its subject is counted as new; null: not known, or nothing to count (no rollout, or nobody saw the answer)
   */
  see(call: Call, table: AttemptTable | undefined, offset: number): boolean | null {
    // Retention has removed a part of what was to be read again.
    if (this.#isFirst && this.readFrom !== null && offset !== this.readFrom) this.#startsAt = this.#highestEpoch;
    this.#isFirst = false;
    const route = this.#routes.get(call.route) ?? { unknownTo: this.#startsAt, current: null };
    this.#routes.set(call.route, route);
    if (table !== undefined && route.current !== null && table.epoch > route.current.newestEpoch && idOf(table) !== route.current.id) this.#end(route);
    if (call.rollout === "" || call.exposure !== "served") return null;
    const id = idOf(call);
    if (route.current?.id !== id) this.#begin(route, id, call, { table, offset });
    this.#highestEpoch = Math.max(this.#highestEpoch, call.epoch);
    if (route.current?.id !== id) {
      route.unknownTo = Math.max(route.unknownTo, call.epoch);
      return null;
    }
    route.current.newestEpoch = Math.max(route.current.newestEpoch, call.epoch);
    return this.#isNew(route.current, keyOf(call.subject));
  }

  #begin(route: Route, id: string, call: Call, { table, offset }: { readonly table: AttemptTable | undefined; readonly offset: number }): void {
    if (table === undefined || idOf(table) !== id || table.attemptStartedAtMs === 0 || table.attemptStartedAtMs < route.unknownTo) return;
    this.#end(route);
    route.unknownTo = Math.max(route.unknownTo, table.attemptStartedAtMs);
    route.current = { id, fromOffset: offset, epochBefore: this.#highestEpoch, newestEpoch: call.epoch, level: 0, keys: new Set() };
  }

  /** An attempt that is over is forgotten; whatever comes of it still is not known. */
  #end(route: Route): void {
    if (route.current === null) return;
    route.unknownTo = Math.max(route.unknownTo, route.current.newestEpoch);
    this.#size -= route.current.keys.size;
    route.current = null;
  }

  #isNew(attempt: Attempt, key: number): boolean {
    if (key >= 2 ** (KEY_BITS - attempt.level) || attempt.keys.has(key)) return false;
    attempt.keys.add(key);
    this.#size++;
    while (attempt.keys.size > this.#perAttempt) this.#thin(attempt);
    while (this.#size > this.#perTask) this.#thin(this.#largest() ?? attempt);
    return true;
  }

  #thin(attempt: Attempt): void {
    attempt.level++;
    const limit = 2 ** (KEY_BITS - attempt.level);
    for (const key of attempt.keys) {
      if (key < limit) continue;
      attempt.keys.delete(key);
      this.#size--;
    }
  }

  #largest(): Attempt | null {
    let largest: Attempt | null = null;
    for (const { current } of this.#routes.values()) if (current !== null && current.keys.size > (largest?.keys.size ?? 0)) largest = current;
    return largest;
  }

  /**
   * What a successor must know: `f1:<highest epoch>`, and `:<offset>:<epoch before>` of the oldest attempt that is worth reading again; base 36.
   *
   * @param committed offset from which the successor counts
   */
  encode(committed: number): string {
    let oldest: Attempt | null = null;
    for (const { current } of this.#routes.values()) {
      if (current === null || committed - current.fromOffset > READ_BACK_RECORDS) continue;
      if (oldest === null || current.fromOffset < oldest.fromOffset) oldest = current;
    }
    const back = oldest === null || oldest.fromOffset >= committed ? [] : [oldest.fromOffset, oldest.epochBefore];
    return [FORMAT, ...[this.#highestEpoch, ...back].map((n) => n.toString(BASE))].join(":");
  }
}

/** What a predecessor left. */
export interface Resumed {
  readonly highestEpoch: number;
  readonly readBack: { readonly offset: number; readonly epochBefore: number } | null;
}

/** Of a partition that nobody read before. */
export const fromTheBeginning: Resumed = { highestEpoch: 0, readBack: null };

/** Clocks of deciders may differ by so much, ms. */
const CLOCKS_MS = 3_600_000;

/** An epoch that none can have exceeded by now: they are decision times in ms, or a little more (DESIGN.md section 3, routing). */
const highestPossible = (nowMs: number): number => nowMs + CLOCKS_MS;

/** What `encode` wrote; null when it was written by something else, so that nothing is known. */
export function decodeFirstSights(text: string): Resumed | null {
  const [format, ...fields] = text.split(":");
  const [highestEpoch = Number.NaN, offset, epochBefore] = fields.map((field) => Number.parseInt(field, BASE));
  if (format !== FORMAT || !Number.isSafeInteger(highestEpoch)) return null;
  if (offset === undefined || epochBefore === undefined) return { highestEpoch, readBack: null };
  return Number.isSafeInteger(offset) && Number.isSafeInteger(epochBefore) ? { highestEpoch, readBack: { offset, epochBefore } } : null;
}
