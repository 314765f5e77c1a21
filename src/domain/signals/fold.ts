import type { Entry } from "../../../topics/index.ts";
import { hash32 } from "../hash/hash32.ts";
import type { Contribution } from "./contribution.ts";
import { Digest } from "./digest.ts";
import { isSliced } from "./names.ts";
import { keyOfParts, type Series } from "./series.ts";
import type { SeriesLimit } from "./series-limit.ts";

/** Fields of a call or a score that decide which series and pane it belongs to. */
export type Attributed = Pick<Entry, "route" | "rollout" | "attempt" | "step" | "epoch" | "version" | "arm" | "exposure"> & {
  readonly subject: string;
  readonly slices: readonly string[];
  readonly endedAtMs: number;
  readonly paneMs: number;
};

/** Subjects are counted in so many buckets, for the design effect (statistics.md section 1.7 and 7). */
export const SUBJECT_BUCKETS = 32;
const SUBJECT_SEED = 0x32;

/** Length of a route's panes when its table does not say, ms. */
export const DEFAULT_PANE_MS = 60_000;

/** Bucket of a subject for the design effect, 0..31. */
export const subjectBucket = (subject: string): number => hash32(subject, SUBJECT_SEED) % SUBJECT_BUCKETS;

/** The slice that every record belongs to. */
export const ALL = "all";

/** `all`, and the record's own. An arm `none` is nobody's evidence: it is not counted by slice. */
function slicesOf({ arm, slices }: Pick<Attributed, "arm" | "slices">): readonly string[] {
  return arm === "none" || slices.length === 0 ? [ALL] : [ALL, ...new Set(slices.filter((name) => name !== ALL))];
}

interface Open {
  readonly series: Series;
  readonly paneStartMs: number;
  readonly paneMs: number;
  records: number;
  sampled: number;
  scored: number;
  abstained: number;
  failed: number;
  readonly counts: Map<number, number>;
  subjectCounts: number[] | null;
  subjectSums: number[] | null;
  newSubjects: number | null;
  digest: Digest | null;
}

function closedEntry(open: Open): Entry {
  const values = [...open.counts.keys()].sort((a, b) => a - b);
  const { means, counts } = open.digest?.centroids() ?? { means: [], counts: [] };
  return {
    ...open.series,
    paneStartMs: open.paneStartMs,
    paneMs: open.paneMs,
    records: open.records,
    sampled: open.sampled,
    scored: open.scored,
    abstained: open.abstained,
    failed: open.failed,
    values,
    counts: values.map((value) => open.counts.get(value) ?? 0),
    subjectCounts: open.subjectCounts ?? [],
    subjectSums: open.subjectSums ?? [],
    newSubjects: open.newSubjects,
    digestMeans: means,
    digestCounts: counts,
  };
}

/**
 * Sums contributions into entries: one per series, kind and pane. Everything but the digest is an integer sum, so neither the order of the
 * records nor where they are split into frames changes what the frames add up to.
 */
export class Fold {
  readonly #limit: SeriesLimit;
  #open = new Map<string, Open>();

  constructor(limit: SeriesLimit) {
    this.#limit = limit;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** @returns how many contributions were refused, because the route has too many live series */
  add(record: Attributed, contributions: readonly Contribution[]): number {
    const paneMs = record.paneMs > 0 ? record.paneMs : DEFAULT_PANE_MS;
    const paneStartMs = Math.floor(record.endedAtMs / paneMs) * paneMs;
    const { route, rollout, attempt, step, version, arm, exposure } = record;
    const bucket = subjectBucket(record.subject);
    let refused = 0;
    for (const slice of slicesOf(record)) {
      for (const contribution of contributions) {
        const { signal, kind, evaluatorVersion, samplePpm } = contribution;
        if (slice !== ALL && !isSliced(signal)) continue;
        const name = keyOfParts(version, arm, exposure, slice, signal, kind, evaluatorVersion);
        if (!this.#limit.admits(route, name, paneStartMs + paneMs, slice !== ALL)) {
          refused++;
          continue;
        }
        const key = keyOfParts(route, rollout, attempt, step, record.epoch, samplePpm, paneStartMs, paneMs, name);
        let open = this.#open.get(key);
        if (open === undefined) {
          const series = { route, rollout, attempt, step, epoch: record.epoch, version, arm, exposure, slice, signal, evaluatorVersion, samplePpm, kind };
          open = {
            series,
            paneStartMs,
            paneMs,
            records: 0,
            sampled: 0,
            scored: 0,
            abstained: 0,
            failed: 0,
            counts: new Map(),
            subjectCounts: null,
            subjectSums: null,
            newSubjects: null,
            digest: null,
          };
          this.#open.set(key, open);
        }
        count(open, contribution, bucket);
      }
    }
    return refused;
  }

  /** Everything since the last drain. */
  drain(): Entry[] {
    const entries = [...this.#open.values()].map(closedEntry);
    this.#open = new Map();
    return entries;
  }
}

function count(open: Open, { records, sampled, abstained, failed, value, shown, capped, newSubjects }: Contribution, bucket: number): void {
  if (newSubjects !== null && open.series.slice === ALL) open.newSubjects = (open.newSubjects ?? 0) + newSubjects;
  open.records += records;
  open.sampled += sampled;
  open.abstained += abstained;
  open.failed += failed;
  if (value === null) return;
  open.scored++;
  open.counts.set(value, (open.counts.get(value) ?? 0) + 1);
  // Of quantities the capped ones are summed; a count without its sum says nothing.
  const summed = open.series.kind === "log" ? capped : value;
  if (summed !== null) {
    open.subjectCounts ??= new Array<number>(SUBJECT_BUCKETS).fill(0);
    open.subjectSums ??= new Array<number>(SUBJECT_BUCKETS).fill(0);
    open.subjectCounts[bucket] = (open.subjectCounts[bucket] ?? 0) + 1;
    open.subjectSums[bucket] = (open.subjectSums[bucket] ?? 0) + summed;
  }
  if (shown !== null && open.series.slice === ALL) {
    open.digest ??= new Digest();
    open.digest.push(shown);
  }
}
