import { CAP, componentNano, gather, gatherBinary, mine, other } from "./arms.ts";
import { ADVANCE_WEIGHTS, type BetSizes, FREEZE_WEIGHTS } from "./bet.ts";
import { FLOOR_ADVANCE_WEIGHTS, floorAlternatives } from "./floor.ts";
import { log1p } from "./ln.ts";
import { mixture, NANO, NANO_MIN, nano } from "./nano-nats.ts";
import { PAIRED_STAKES, PAIRED_WEIGHTS } from "./paired.ts";

/**
 * The bets and processes of this folder without a single allocation: they write into arrays that the caller owns. Every
 * integer is the one that bet.ts, floor.ts, paired.ts, freeze-process.ts, advance-process.ts and nano-nats.ts return, since
 * the operations on doubles are the same in the same order; a test compares them. Those files say what the numbers mean.
 *
 * Counts are whole numbers and evidence whole nano-nats, kept as doubles.
 */

const TINY = 1e-6;

/** Weights of mixtures, as arrays that the loops below are fast on. */
export const freezeWeights = Float64Array.from(FREEZE_WEIGHTS);
export const advanceWeights = Float64Array.from(ADVANCE_WEIGHTS);
export const floorAdvanceWeights = Float64Array.from(FLOOR_ADVANCE_WEIGHTS);
export const pairedWeights = Float64Array.from(PAIRED_WEIGHTS);

/**
 * The two-sample bet on pass/fail counts and exceedances: `balancedBet` on `binaryHistogram`s.
 *
 * @param out one component per multiple of `sizes`, nano-nats
 * @param pref baseline's mean loss by earlier blocks
 * @param na candidate's records, `ya` of them bad; `nb` and `yb` are the baseline's. An empty arm: no evidence
 * @throws {KnownError} EVALUATION_ERROR when a result is not finite
 */
export function binaryBet(out: Float64Array, sizes: BetSizes, pref: number, na: number, ya: number, nb: number, yb: number): void {
  gatherBinary(mine, na, ya);
  gatherBinary(other, nb, yb);
  betOnArms(out, sizes, pref, -1);
}

/**
 * The two-sample bet on counts per value (scores, capped quantities): `balancedBet` with a variance.
 *
 * @param out one component per multiple of `sizes`, nano-nats
 * @param pref baseline's mean loss by earlier blocks
 * @param v pooled variance by earlier blocks, not negative
 * @param values losses in [0, 1], ascending; both arms' counts are of the same values
 * @throws {KnownError} EVALUATION_ERROR when a result is not finite
 */
export function gridBet(
  out: Float64Array,
  sizes: BetSizes,
  pref: number,
  v: number,
  values: Float64Array,
  candidate: Float64Array,
  baseline: Float64Array,
): void {
  gather(mine, values, candidate);
  gather(other, values, baseline);
  betOnArms(out, sizes, pref, v);
}

/** Bets on the arms that were gathered. */
function betOnArms(out: Float64Array, { s, d, unit, isRatio, multiples }: BetSizes, pref: number, v: number): void {
  const scale = isRatio ? unit * pref : unit;
  for (let k = 0; k < multiples.length; k++) out[k] = componentNano(pref, v, s, d, scale * (multiples[k] ?? Number.NaN));
}

/** Logarithms of the bets on each value, which never change: one row of components per value. */
export interface BetTable {
  readonly components: number;
  /** `logs[i * components + k]`: what one record of value i is worth in component k, in nats. */
  readonly logs: Float64Array;
}

function tableOf(values: readonly number[], stakesAt: readonly { readonly c: number; readonly t: number }[]): BetTable {
  return { components: stakesAt.length, logs: Float64Array.from(values.flatMap((x) => stakesAt.map(({ c, t }) => log1p(c * (x - t))))) };
}

/** Table of a floor on pass/fail counts: values 0 and 1. @param t largest acceptable rate of bad: 1 - floor */
export function floorTable(t: number, use: "freeze" | "advance"): BetTable {
  const bound = Math.min(Math.max(t, TINY), 1 - TINY);
  const stakesAt = floorAlternatives(t)[use].map((p) => {
    const c = (p - bound) / (bound * (1 - bound));
    const worst = Math.max(c * bound, -c * (1 - bound));
    return { c: worst > CAP ? (c * CAP) / worst : c, t: bound };
  });
  return tableOf([0, 1], stakesAt);
}

/** Table of the paired bet: values are differences of -1..1 in steps of 0.01. @param d tolerated (freeze) or limit (advance) */
export function pairedTable(d: number, use: "freeze" | "advance"): BetTable {
  const sign = use === "freeze" ? 1 : -1;
  const values = Array.from({ length: 201 }, (_, i) => (i - 100) / 100);
  return tableOf(
    values,
    PAIRED_STAKES.map((c) => ({ c: sign * Math.min(c, CAP / (1 + d)), t: d })),
  );
}

/**
 * A bet whose logarithms are in a table: `oneSample` on pass/fail counts, `pairedBet`.
 *
 * @param out one component per column, nano-nats
 * @param counts records per value of the table
 */
export function tableBet(out: Float64Array, table: BetTable, counts: Float64Array): void {
  const { components, logs } = table;
  for (let k = 0; k < components; k++) {
    let sum = 0;
    for (let i = 0; i < counts.length; i++) {
      const count = counts[i] ?? Number.NaN;
      if (count !== 0) sum += count * (logs[i * components + k] ?? Number.NaN);
    }
    out[k] = nano(sum);
  }
}

/** Log sums as they are mixed: tempered by a design effect, perhaps without what is set aside. */
const tempered = new Float64Array(16);

/** `freezeLogE`, and `advanceLogE` before its ceiling: temper, then mix; nano-nats. At most 16 components. */
export function temperedMixture(q: Float64Array, weights: Float64Array, deff: number): number {
  if (deff === 1) return mixture(q, weights);
  for (let k = 0; k < weights.length; k++) tempered[k] = nano((q[k] ?? Number.NaN) / deff / NANO);
  return mixture(tempered, weights);
}

/**
 * Multiplies a block into a freeze process: `addToFreeze`.
 *
 * @param q log sums
 * @param top per component its largest positive increments, largest first: `top.length / q.length` each
 * @param block log e per component
 */
export function addFreeze(q: Float64Array, top: Float64Array, block: Float64Array): void {
  const kept = top.length / q.length;
  for (let k = 0; k < q.length; k++) {
    const x = block[k] ?? Number.NaN;
    q[k] = Math.max((q[k] ?? Number.NaN) + x, NANO_MIN);
    for (let place = kept - 1; place >= 0; place--) {
      const at = k * kept + place;
      const there = top[at] ?? 0;
      if (!(x > there)) break;
      // The one that was here moves down, or out.
      if (place < kept - 1) top[at + 1] = there;
      top[at] = x;
    }
  }
}

/** `freezeLogEMinus`: log E without the most incriminating blocks, nano-nats. */
export function mixtureWithout(q: Float64Array, top: Float64Array, weights: Float64Array, deff: number): number {
  const kept = top.length / q.length;
  for (let k = 0; k < weights.length; k++) {
    let aside = 0;
    for (let place = 0; place < kept; place++) aside += top[k * kept + place] ?? 0;
    tempered[k] = nano(((q[k] ?? Number.NaN) - aside) / deff / NANO);
  }
  return mixture(tempered, weights);
}

/**
 * Multiplies a block into an advance process: `addToAdvance`, with its reflection and its latch.
 *
 * @param q log sums, as many as weights
 * @param ceiling nano-nats
 * @param isSafe whether the process is safe before the block
 * @returns whether it is safe after it
 */
export function addAdvance(q: Float64Array, block: Float64Array, weights: Float64Array, ceiling: number, isSafe: boolean, deff: number): boolean {
  for (let k = 0; k < weights.length; k++) q[k] = Math.max((q[k] ?? Number.NaN) + (block[k] ?? Number.NaN), NANO_MIN);
  const logE = temperedMixture(q, weights, deff);
  if (logE < ceiling) return isSafe && logE >= 0;
  const cut = Math.floor((logE - ceiling) * deff + 0.5);
  for (let k = 0; k < weights.length; k++) q[k] = (q[k] ?? Number.NaN) - cut;
  return true;
}
