import type { Arrivals } from "./simulate.ts";

/** Calls that arrive as in a recorded trace, which begins anew when it ends. `gaps`: ms between arrivals, not negative, their sum above 0. */
export function repeatedGaps(gaps: readonly number[]): Arrivals {
  const times: number[] = [];
  let lengthMs = 0;
  for (const gap of gaps) {
    times.push(lengthMs);
    lengthMs += gap;
  }
  const before = (ms: number) => {
    const rounds = Math.floor(ms / lengthMs);
    const within = ms - rounds * lengthMs;
    let [low, high] = [0, times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((times[middle] ?? 0) < within) low = middle + 1;
      else high = middle;
    }
    return rounds * times.length + low;
  };
  return (fromMs, toMs) => before(toMs) - before(fromMs);
}
