import { addFreeze, freezeWeights, mixtureWithout, temperedMixture } from "../stats/kernel.ts";
import { mixture } from "../stats/nano-nats.ts";

/** Blocks that count as recent however long ago they were. */
const LEAST_RECENT = 5;

/**
 * The freeze processes of one test, one per step that it has been in (restarts), with the marks of its recent blocks. All in
 * nano-nats, untempered.
 */
export class FreezeRuns {
  readonly #q: readonly Float64Array[];
  readonly #top: readonly Float64Array[];
  readonly #deffs: Float64Array;
  readonly #isHarm: Uint8Array;
  readonly #ends: Float64Array;
  #blocks = 0;
  /** Restarts that have begun: those of steps 0 .. started - 1 (a step without a block has an empty one, worth 1). */
  started = 0;
  /** The largest log sum of any component: no mixture of them is above it. */
  most = 0;

  /** @param setAside most incriminating blocks that a sustained breach must hold without; `recent`: marks that are kept */
  constructor(steps: number, setAside: number, recent: number) {
    const k = freezeWeights.length;
    this.#q = Array.from({ length: steps }, () => new Float64Array(k));
    this.#top = Array.from({ length: steps }, () => new Float64Array(k * setAside));
    this.#deffs = new Float64Array(steps).fill(1);
    this.#isHarm = new Uint8Array(Math.max(recent, LEAST_RECENT));
    this.#ends = new Float64Array(this.#isHarm.length);
  }

  reset(): void {
    for (let j = 0; j < this.started; j++) {
      this.#q[j]?.fill(0);
      this.#top[j]?.fill(0);
    }
    this.#deffs.fill(1);
    this.#blocks = 0;
    this.started = 0;
    this.most = 0;
  }

  /**
   * Multiplies a block into its step's process and those of earlier steps.
   *
   * @param endMs end of the block, not before those of earlier ones
   */
  add(increments: Float64Array, step: number, endMs: number): void {
    this.started = Math.max(this.started, step + 1);
    let most = Number.NEGATIVE_INFINITY;
    for (let j = 0; j < this.started; j++) {
      const q = this.#q[j];
      const top = this.#top[j];
      if (q === undefined || top === undefined) continue;
      if (j <= step) addFreeze(q, top, increments);
      for (let k = 0; k < q.length; k++) if ((q[k] ?? 0) > most) most = q[k] ?? 0;
    }
    this.most = most;
    const place = this.#blocks++ % this.#ends.length;
    this.#ends[place] = endMs;
    this.#isHarm[place] = isHarm(increments) ? 1 : 0;
  }

  /** Design effect of the process of step j, from its newest block on; at least 1. */
  temper(j: number, deff: number): void {
    this.#deffs[j] = deff;
  }

  /** log E of the process of step j. */
  logE(j: number): number {
    const q = this.#q[j];
    return q === undefined || j >= this.started ? 0 : temperedMixture(q, freezeWeights, this.#deffs[j] ?? 1);
  }

  /** The same without its most incriminating blocks. */
  logEMinus(j: number): number {
    const q = this.#q[j];
    const top = this.#top[j];
    return q === undefined || top === undefined || j >= this.started ? 0 : mixtureWithout(q, top, freezeWeights, this.#deffs[j] ?? 1);
  }

  /** Blocks of the window before `atMs`, and at least of the last five, that were evidence of harm by themselves. */
  recentHarm(atMs: number, windowMs: number): number {
    const kept = Math.min(this.#blocks, this.#ends.length);
    let harm = 0;
    for (let back = 1; back <= kept; back++) {
      const place = (this.#blocks - back) % this.#ends.length;
      if (back > LEAST_RECENT && (this.#ends[place] ?? 0) <= atMs - windowMs) break;
      harm += this.#isHarm[place] ?? 0;
    }
    return harm;
  }
}

/** The mixture is above 1. Most blocks show it by their signs. */
function isHarm(increments: Float64Array): boolean {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < freezeWeights.length; k++) {
    const x = increments[k] ?? Number.NaN;
    if (x < least) least = x;
    if (x > most) most = x;
  }
  if (most <= 0) return false;
  return least > 1 || mixture(increments, freezeWeights) > 0;
}
