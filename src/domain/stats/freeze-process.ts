import { FREEZE_WEIGHTS } from "./bet.ts";
import { mix, NANO, NANO_MIN, nano, temper } from "./nano-nats.ts";

/**
 * A running product of e-values to freeze: one restart component of one signal. Plain numbers, so that it can be kept in
 * a state and sent over a wire. All in nano-nats, untempered.
 */
export interface FreezeProcess {
  readonly weights: readonly number[];
  /** Log sums, one per component. */
  readonly q: readonly number[];
  /** Per component the largest positive increments of a block, largest first, padded with 0: what *sustained* sets aside. */
  readonly top: readonly (readonly number[])[];
}

/**
 * A process of value 1.
 *
 * @param setAside blocks that a sustained breach must hold without: `sustain.panes` - 1, default 2
 */
export function createFreeze(weights: readonly number[] = FREEZE_WEIGHTS, setAside = 2): FreezeProcess {
  return { weights, q: weights.map(() => 0), top: weights.map(() => new Array<number>(setAside).fill(0)) };
}

/**
 * Multiplies a block in.
 *
 * @param block log e per component, nano-nats
 */
export function addToFreeze(process: FreezeProcess, block: readonly number[]): FreezeProcess {
  const q = process.q.slice();
  let { top } = process;
  for (let k = 0; k < q.length; k++) {
    const x = block[k] ?? Number.NaN;
    q[k] = Math.max((q[k] ?? Number.NaN) + x, NANO_MIN);
    const before = process.top[k] ?? [];
    // Few blocks are among the worst, so that most leave this as it is.
    const after = insert(before, x);
    if (after !== before) top = top.with(k, after);
  }
  return { weights: process.weights, q, top };
}

/** `largest` with x in its place, in falling order, of the same length; the same array when x is not among them. */
function insert(largest: readonly number[], x: number): readonly number[] {
  if (!(x > (largest[largest.length - 1] ?? Number.POSITIVE_INFINITY))) return largest;
  const place = largest.findIndex((y) => x > y);
  return [...largest.slice(0, place), x, ...largest.slice(place, -1)];
}

/** True when a block by itself is evidence of harm: its mixture is above 1. */
export function isEvidenceOfHarm(block: readonly number[], weights: readonly number[] = FREEZE_WEIGHTS): boolean {
  return mix(block, weights) > 0;
}

/**
 * log E of the process, nano-nats.
 *
 * @param deff design effect, at least 1: each component is tempered, then they are mixed
 */
export function freezeLogE(process: FreezeProcess, deff = 1): number {
  return mix(temper(process.q, deff), process.weights);
}

/** log E without the most incriminating blocks, at most `freezeLogE`: what a sustained breach is judged by. */
export function freezeLogEMinus(process: FreezeProcess, deff = 1): number {
  const without = process.q.slice();
  for (let k = 0; k < without.length; k++) without[k] = nano(((without[k] ?? Number.NaN) - setAsideOf(process, k)) / deff / NANO);
  return mix(without, process.weights);
}

/** Sum of the increments that component k sets aside, nano-nats. */
export function setAsideOf(process: FreezeProcess, k: number): number {
  let sum = 0;
  for (const increment of process.top[k] ?? []) sum += increment;
  return sum;
}
