import { exp } from "../stats/ln.ts";

/** 1 / sqrt(2 pi). */
const DENSITY_AT_ZERO = 0.3989422804014327;
/** From here on the tail's continued fraction is exact to the last digits with few terms. */
const TAIL_FROM = 3;
const TAIL_TERMS = 60;
/** Beyond this the tail is below 1e-300. */
const FARTHEST = 37;

/** P(Z > x) for x >= TAIL_FROM, by Laplace's continued fraction, from its end. */
function upperTail(x: number): number {
  let fraction = x;
  for (let term = TAIL_TERMS; term > 0; term--) fraction = x + term / fraction;
  return (DENSITY_AT_ZERO * exp((-x * x) / 2)) / fraction;
}

/**
 * P(Z <= x) of the standard normal distribution, to about 1e-15, in the lower tail relative to its size. On our own `exp`, so that a plan
 * is the same on every machine.
 *
 * @see Marsaglia 2004, Evaluating the Normal Distribution, Journal of Statistical Software 11(4), doi:10.18637/jss.v011.i04 (the series)
 */
export function normalCdf(x: number): number {
  if (x <= -TAIL_FROM) return x < -FARTHEST ? 0 : upperTail(-x);
  if (x >= TAIL_FROM) return 1 - (x > FARTHEST ? 0 : upperTail(x));
  let sum = x;
  let term = x;
  for (let i = 3; Math.abs(term) > 1e-18; i += 2) {
    term *= (x * x) / i;
    sum += term;
  }
  return 0.5 + sum * DENSITY_AT_ZERO * exp((-x * x) / 2);
}

/**
 * x with P(Z <= x) = p, by halving: plans ask for few.
 *
 * @param p in (0, 1)
 * @throws {RangeError} outside
 */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new RangeError(`a quantile needs a share in (0, 1), got ${p}`);
  let low = -FARTHEST;
  let high = FARTHEST;
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
