import { type ArmSpread, armDesignEffect, designEffect, SUBJECT_BUCKETS, widened } from "../../stats/design-effect.ts";
import { addMoments, type Moments, noMoments } from "../../stats/histogram.ts";

/** Records and losses of one arm per bucket of subjects, with the moments of the losses (in [0, 1]; differences of pairs in [-1, 1]). */
export interface ArmBuckets {
  readonly counts: readonly number[];
  /** Whole numbers in the units of the block: see `Asked.unit`. */
  readonly sums: readonly number[];
  readonly moments: Moments;
}

/** What was counted in one stay in a step. A process takes the stays since it began (statistics.md section 2, clusters). */
export interface Stay {
  readonly step: number;
  readonly fromEpoch: number;
  readonly candidate: ArmBuckets;
  readonly baseline: ArmBuckets;
}

/** Stays in the order of their beginning. */
export type Clusters = readonly Stay[];

/** Stays that are told apart. */
const MOST_STAYS = 12;
const noBuckets: ArmBuckets = { counts: [], sums: [], moments: noMoments };

const addArrays = (one: readonly number[], other: readonly number[]): readonly number[] =>
  one.length === 0 ? other : other.length === 0 ? one : one.map((x, i) => x + (other[i] ?? 0));

function addBuckets(one: ArmBuckets, other: ArmBuckets): ArmBuckets {
  if (other.counts.length === 0) return one;
  return { counts: addArrays(one.counts, other.counts), sums: addArrays(one.sums, other.sums), moments: addMoments(one.moments, other.moments) };
}

/** Buckets of an arm in a pane; none when its writer did not count any. `moments`: of the same records' losses. */
export function bucketsOf(counts: readonly number[], sums: readonly number[], moments: Moments): ArmBuckets {
  return counts.length !== SUBJECT_BUCKETS || sums.length !== SUBJECT_BUCKETS ? noBuckets : { counts, sums, moments };
}

/** Adds a pane's buckets to the stay in its step. */
export function addToClusters(
  clusters: Clusters,
  about: { readonly step: number; readonly epoch: number },
  candidate: ArmBuckets | null,
  baseline: ArmBuckets | null,
): Clusters {
  const [mine, other] = [candidate ?? noBuckets, baseline ?? noBuckets];
  if (mine.counts.length === 0 && other.counts.length === 0) return clusters;
  // A late pane belongs to the stay that its epoch fell into, however many steps were taken since.
  const place = clusters.findLastIndex(({ fromEpoch }) => fromEpoch <= about.epoch);
  const stay = clusters[place];
  if (stay?.step === about.step)
    return clusters.with(place, { ...stay, candidate: addBuckets(stay.candidate, mine), baseline: addBuckets(stay.baseline, other) });
  const begun: Stay = { step: about.step, fromEpoch: about.epoch, candidate: mine, baseline: other };
  return bounded([...clusters.slice(0, place + 1), begun, ...clusters.slice(place + 1)]);
}

/** Beyond so many stays the two oldest of one step become one, which begins with the younger: a process in between counts more than its own, none loses any. */
function bounded(clusters: Clusters): Clusters {
  if (clusters.length <= MOST_STAYS) return clusters;
  const older = clusters.findIndex(({ step }, i) => clusters.some((other, k) => k > i && other.step === step));
  const first = clusters[older];
  const younger = clusters.findIndex(({ step }, k) => k > older && step === first?.step);
  const second = clusters[younger];
  if (first === undefined || second === undefined) return clusters;
  const merged = { ...second, candidate: addBuckets(first.candidate, second.candidate), baseline: addBuckets(first.baseline, second.baseline) };
  return clusters.with(younger, merged).filter((_, i) => i !== older);
}

/** How an arm's losses vary: a binary loss by its mean, others by what was seen. */
function spreadOf(arm: ArmBuckets, { isBinary, unit }: Pick<Asked, "isBinary" | "unit">): ArmSpread {
  const { n, sum, sumSquares } = arm.moments;
  const mean = (sum + 0.5) / (n + 1);
  const v = isBinary ? mean * (1 - mean) : n === 0 ? 0 : Math.max(sumSquares / n - (sum / n) * (sum / n), 0);
  const sums = unit === 1 ? arm.sums : arm.sums.map((loss) => loss / unit);
  return { deff: armDesignEffect(arm.counts, sums, isBinary ? null : v), v: Math.max(v, 1e-6), n };
}

/** Both arms of the stays that a process has taken; null: no buckets were counted. */
interface Spreads {
  readonly candidate: ArmSpread | null;
  readonly baseline: ArmSpread | null;
}

/** Summed, and asked for, one after the other: a pane's slices and restarts all ask for the same. */
interface Recent {
  clusters: Clusters | null;
  /** The stays that were summed, one bit each. */
  stays: number;
  isBinary: boolean;
  unit: number;
  spreads: Spreads;
}
const recent: Recent = { clusters: null, stays: 0, isBinary: false, unit: 0, spreads: { candidate: null, baseline: null } };

function spreadsOf(clusters: Clusters, stays: number, { isBinary, unit }: Asked): Spreads {
  if (recent.clusters === clusters && recent.stays === stays && recent.isBinary === isBinary && recent.unit === unit) return recent.spreads;
  let [candidate, baseline] = [noBuckets, noBuckets];
  clusters.forEach((stay, i) => {
    if ((stays & (1 << i)) === 0) return;
    candidate = addBuckets(candidate, stay.candidate);
    baseline = addBuckets(baseline, stay.baseline);
  });
  const spread = (arm: ArmBuckets) => (arm.counts.length === 0 ? null : spreadOf(arm, { isBinary, unit }));
  const spreads = { candidate: spread(candidate), baseline: spread(baseline) };
  Object.assign(recent, { clusters, stays, isBinary, unit, spreads });
  return spreads;
}

/** What a design effect is asked for. */
export interface Asked {
  readonly use: "freeze" | "advance";
  /** `two`: candidate against baseline; `one`: the candidate alone (floors, pairs). */
  readonly arms: "two" | "one";
  readonly isBinary: boolean;
  /** What a loss of 1 is in the units of the sums: 1 for binary, 100 for scores and pairs, the cap for quantities. */
  readonly unit: number;
}

/** Design effect of the stays in a step: of what an advance process has taken. At least 1, and 1 where no buckets were counted. */
export function deffIn(clusters: Clusters, step: number, asked: Asked): number {
  let stays = 0;
  for (let i = 0; i < clusters.length; i++) if (clusters[i]?.step === step) stays |= 1 << i;
  return deffOf(clusters, stays, asked);
}

/** The same of all stays since an epoch, of shadow or of served calls: of what a freeze process has taken since it began. */
export function deffSince(clusters: Clusters, fromEpoch: number, isShadow: boolean, asked: Asked): number {
  let stays = 0;
  clusters.forEach((stay, i) => {
    if (stay.fromEpoch >= fromEpoch && stay.step < 0 === isShadow) stays |= 1 << i;
  });
  return deffOf(clusters, stays, asked);
}

function deffOf(clusters: Clusters, stays: number, asked: Asked): number {
  const { candidate, baseline } = spreadsOf(clusters, stays, asked);
  if (candidate === null) return 1;
  if (asked.arms === "one") return asked.use === "advance" ? widened(candidate.deff) : candidate.deff;
  return baseline === null ? 1 : designEffect(candidate, baseline, asked.use);
}
