/** Seeded randomness of a simulation: the same seed gives the same rollout on every machine. */
export interface Dice {
  /** In [0, 1). */
  readonly next: () => number;
  /** Whole number in [0, n). */
  readonly below: (n: number) => number;
  /** A Poisson count with this mean. */
  readonly poisson: (mean: number) => number;
  /** How many of n come up with chance p each. */
  readonly binomial: (n: number, p: number) => number;
}

/** mulberry32 (Tommy Ettinger, public domain): 32 bits of state, enough for draws from recorded rows. */
export function dice(seed: number): Dice {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return { next, below: (n) => Math.floor(next() * n), poisson: (mean) => poisson(mean, next), binomial: (n, p) => binomial(n, p, next) };
}

/** One trial each: panes hold hundreds of calls, which are drawn one by one anyway. */
function binomial(n: number, p: number, next: () => number): number {
  let count = 0;
  for (let i = 0; i < n; i++) if (next() < p) count++;
  return count;
}

/** Means that are counted by multiplying uniforms: beyond it e to the minus mean would vanish. */
const SMALL = 30;

/** Knuth's product of uniforms for small means (The Art of Computer Programming 2, 3.4.1); larger ones are split in halves, since Poisson counts add. */
function poisson(mean: number, next: () => number): number {
  if (mean <= 0) return 0;
  if (mean > SMALL) {
    const parts = Math.ceil(mean / SMALL);
    let sum = 0;
    for (let i = 0; i < parts; i++) sum += poisson(mean / parts, next);
    return sum;
  }
  const limit = Math.exp(-mean);
  let product = next();
  let count = 0;
  while (product > limit) {
    count++;
    product *= next();
  }
  return count;
}
