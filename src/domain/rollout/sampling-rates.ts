import type { RoutingTable } from "../../../topics/index.ts";

/** Every call is judged. */
export const ALL_PPM = 1_000_000;

/**
 * Calls per minute that a route is taken to have before its first pane was seen: a busy one, so that a judge's budget holds from the
 * first call on. The rates are set anew as soon as one pane has shown the traffic.
 */
const UNKNOWN_CALLS_PER_MINUTE = 6_000;

/** Calls per minute of each arm that a judge could be asked about; null: not known yet. */
export interface CallRates {
  readonly baseline: number;
  readonly candidate: number;
  readonly mirrored: number;
}

const unknown: CallRates = { candidate: UNKNOWN_CALLS_PER_MINUTE, baseline: UNKNOWN_CALLS_PER_MINUTE, mirrored: UNKNOWN_CALLS_PER_MINUTE };

/**
 * Sampling rates per arm within a judge budget. The candidate comes first, since its judgements are the bottleneck; the
 * baseline gets twice as many as the candidate, which is 67 % of all that more of it could add (statistics.md section 3.2).
 * In shadow a pair is one piece of work, and the served side is not judged by itself.
 *
 * @param perMinute judgements per minute; null: no limit, every call of every arm is judged
 * @param rates null: unknown, so that a busy route is assumed and the budget holds
 */
export function samplingRates(perMinute: number | null, rates: CallRates | null, phase: "shadow" | "served"): RoutingTable["samplePpm"] {
  if (perMinute === null) return { baseline: ALL_PPM, candidate: ALL_PPM, holdback: ALL_PPM, shadow: ALL_PPM };
  const { candidate: candidateCalls, baseline: baselineCalls, mirrored } = rates ?? unknown;
  if (phase === "shadow") return { baseline: 0, candidate: 0, holdback: 0, shadow: ppm(perMinute, mirrored) };
  const first = Math.min(candidateCalls, perMinute / 3);
  const baseline = Math.min(baselineCalls, 2 * first);
  // What the baseline cannot use goes to the candidate.
  const candidate = Math.min(candidateCalls, perMinute - baseline);
  const baselinePpm = ppm(baseline, baselineCalls);
  return { baseline: baselinePpm, candidate: ppm(candidate, candidateCalls), holdback: baselinePpm, shadow: 0 };
}

/** Rate at which whoever serves is judged while no rollout runs; calls per minute null: unknown, so that a busy route is assumed. */
export const watchPpm = (perMinute: number, calls: number | null): number => ppm(perMinute, calls ?? UNKNOWN_CALLS_PER_MINUTE);

function ppm(wanted: number, available: number): number {
  return available <= wanted ? ALL_PPM : Math.max(1, Math.floor((wanted / available) * ALL_PPM));
}
