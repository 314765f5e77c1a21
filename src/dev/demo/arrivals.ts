import type { Random } from "./random.ts";

/** Waiting times between calls, in ms, without end. */
export type Arrivals = Iterator<number, never>;

/**
 * Bursty arrivals: a Poisson process whose rate switches between quiet and busy (a Markov-modulated Poisson process), as
 * real callers do. The mean rate is the given one.
 *
 * @param perSecond mean calls per second
 */
export function* burstyArrivals(random: Random, perSecond: number): Generator<number, never> {
  let busy = false;
  let leftMs = 0;
  for (;;) {
    if (leftMs <= 0) {
      busy = !busy;
      leftMs = random.exponential(busy ? 1500 : 3000);
    }
    // Busy a third of the time at 1.8 x the mean, quiet at 0.6 x: the mean stays.
    const waitMs = random.exponential(1000 / (perSecond * (busy ? 1.8 : 0.6)));
    leftMs -= waitMs;
    yield waitMs;
  }
}

/**
 * Arrivals as recorded, played faster or slower so that their mean rate is the given one.
 *
 * @param timesMs recorded arrival times in ms, ascending; repeated from the start when used up
 */
export function* recordedArrivals(timesMs: readonly number[], perSecond: number): Generator<number, never> {
  const last = timesMs.at(-1) ?? 0;
  const first = timesMs[0] ?? 0;
  const scale = (timesMs.length - 1) / perSecond / ((last - first) / 1000);
  for (;;) {
    for (let i = 1; i < timesMs.length; i++) yield ((timesMs[i] ?? 0) - (timesMs[i - 1] ?? 0)) * scale;
  }
}
