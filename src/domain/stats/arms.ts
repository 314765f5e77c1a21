import { log1p } from "./ln.ts";
import { nano } from "./nano-nats.ts";

/**
 * The arithmetic of the balanced bet, once for the decider (bet.ts) and for the simulator (kernel.ts): the records of an arm are
 * gathered into flat arrays, then every component of the bet walks them without allocating anything. What the numbers mean is in
 * bet.ts; the order of the operations is part of the promise, since evidence is the same to the nano-nat on every machine.
 */

/** Largest share of a unit of capital that one record may lose. */
export const CAP = 0.9;
const TINY = 1e-6;

/** Counts per value of one arm of a block, without the values that nobody had. Owned by this folder, filled anew for every block. */
export interface Arm {
  values: Float64Array;
  counts: Float64Array;
  /** Values that somebody had: the arrays are longer. */
  length: number;
  /** Records. */
  n: number;
}

const newArm = (): Arm => ({ values: new Float64Array(256), counts: new Float64Array(256), length: 0, n: 0 });

/** The arms that are being compared. Module-wide, since nothing here outlives a call. */
export const mine = newArm();
export const other = newArm();

function emptied(arm: Arm, most: number): Arm {
  if (arm.values.length < most) {
    arm.values = new Float64Array(most);
    arm.counts = new Float64Array(most);
  }
  arm.length = 0;
  arm.n = 0;
  return arm;
}

function put(arm: Arm, value: number, count: number): void {
  arm.values[arm.length] = value;
  arm.counts[arm.length] = count;
  arm.length++;
}

/** Gathers counts per value, in their order. */
export function gather(into: Arm, values: ArrayLike<number>, counts: ArrayLike<number>): void {
  emptied(into, values.length);
  for (let i = 0; i < values.length; i++) {
    const count = counts[i] ?? 0;
    into.n += count;
    // A count that is no number is kept, so that the evidence is refused.
    if (!(count <= 0)) put(into, values[i] ?? Number.NaN, count);
  }
}

/** Gathers pass/fail counts: `bad` of `n` records have loss 1, the others 0. */
export function gatherBinary(into: Arm, n: number, bad: number): void {
  emptied(into, 2);
  into.n = n;
  if (n - bad > 0) put(into, 0, n - bad);
  if (bad > 0) put(into, 1, bad);
}

/** sum_x n_x ln(1 + c(x - t)), in the order of the values; nats. */
export function armBet({ values, counts, length }: Arm, c: number, t: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += (counts[i] ?? Number.NaN) * log1p(c * ((values[i] ?? Number.NaN) - t));
  return sum;
}

/** Stakes and reference points of the component that was prepared last: c_a, t_a, c_b, t_b. */
export const stakes = new Float64Array(4);

/**
 * Stakes of one component into `stakes`.
 *
 * @param na candidate's records, at least 1; `nb` the baseline's
 * @param pref baseline's mean loss by earlier blocks
 * @param v pooled variance by earlier blocks; below 0: binary counts, where it follows from the mean
 * @param delta harm that the component bets on beyond the null: > 0 to freeze, < 0 to advance
 */
export function prepare(na: number, nb: number, pref: number, v: number, s: number, d: number, delta: number): void {
  let tb = Math.min(Math.max(pref, TINY), 1 - TINY);
  let ta = s * tb + d;
  if (ta > 1 - TINY) {
    ta = 1 - TINY;
    tb = (ta - d) / s;
  }
  const va = Math.max(v < 0 ? ta * (1 - ta) : v, TINY);
  const vb = Math.max(v < 0 ? tb * (1 - tb) : v, TINY);
  const stake = delta / (va / na + (s * s * vb) / nb);
  let ca = stake / na;
  let cb = (-s * stake) / nb;
  const worst = Math.max(ca * ta, -ca * (1 - ta), cb * tb, -cb * (1 - tb));
  if (worst > CAP) {
    ca *= CAP / worst;
    cb *= CAP / worst;
  }
  stakes[0] = ca;
  stakes[1] = ta;
  stakes[2] = cb;
  stakes[3] = tb;
}

/** log e of one component for the arms in `mine` (the candidate's) and `other`, nats; 0 when one is empty: no evidence. */
export function componentLogE(pref: number, v: number, s: number, d: number, delta: number): number {
  if (mine.n === 0 || other.n === 0) return 0;
  prepare(mine.n, other.n, pref, v, s, d, delta);
  return armBet(mine, stakes[0] ?? 0, stakes[1] ?? 0) + armBet(other, stakes[2] ?? 0, stakes[3] ?? 0);
}

/** The same in nano-nats, as processes add it. @throws {KnownError} EVALUATION_ERROR when it is not finite */
export const componentNano = (pref: number, v: number, s: number, d: number, delta: number): number => nano(componentLogE(pref, v, s, d, delta));
