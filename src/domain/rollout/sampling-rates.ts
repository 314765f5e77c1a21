import type { RoutingTable } from "../../../topics/index.ts";

/** Every call is judged. */
export const ALL_PPM = 1_000_000;

/** Calls per minute of each arm that a judge could be asked about; null: not known yet. */
export interface CallRates {
  readonly baseline: number;
  readonly candidate: number;
  readonly mirrored: number;
}

/**
 * Sampling rates per arm within a judge budget. The candidate comes first, since its judgements are the bottleneck; the
 * baseline gets twice as many as the candidate, which is 67 % of all that more of it could add (statistics.md section 3.2).
 * In shadow a pair is one piece of work, and the served side is not judged by itself.
 *
 * @param perMinute judgements per minute; null: no limit, every call of every arm is judged
 * @param rates null: unknown, so that nothing is spared until they are
 */
export function samplingRates(perMinute: number | null, rates: CallRates | null, phase: "shadow" | "served"): RoutingTable["samplePpm"] {
  if (perMinute === null) return { baseline: ALL_PPM, candidate: ALL_PPM, holdback: ALL_PPM, shadow: ALL_PPM };
  if (phase === "shadow") return { baseline: 0, candidate: 0, holdback: 0, shadow: rates === null ? ALL_PPM : ppm(perMinute, rates.mirrored) };
  if (rates === null) return { baseline: ALL_PPM, candidate: ALL_PPM, holdback: ALL_PPM, shadow: 0 };
  const first = Math.min(rates.candidate, perMinute / 3);
  const baseline = Math.min(rates.baseline, 2 * first);
  // What the baseline cannot use goes to the candidate.
  const candidate = Math.min(rates.candidate, perMinute - baseline);
  const baselinePpm = ppm(baseline, rates.baseline);
  return { baseline: baselinePpm, candidate: ppm(candidate, rates.candidate), holdback: baselinePpm, shadow: 0 };
}

function ppm(wanted: number, available: number): number {
  return available <= wanted ? ALL_PPM : Math.max(1, Math.floor((wanted / available) * ALL_PPM));
}
