import type { FleetExposure } from "./input.ts";

const PPM = 1_000_000;
const percent = (ppm: number) => `${(ppm / 10_000).toFixed(1)} %`;

/**
 * Whether a route may raise its candidate's share under the shared cap: candidate calls of all routes together must stay within it.
 *
 * Several deciders look at each other's newest committed states, so that two routes can go up at the same moment and exceed the
 * cap by one step of each; from then on nothing goes up before there is room again. Traffic that shifts between routes is no
 * reason to step down: the cap binds those that go up.
 *
 * @param exposure null: no cap is configured
 * @param own calls per minute of the route, null: not known; then the route goes up only while the others alone leave room
 * @param nextPpm candidate's share of the route after the step, parts per million
 * @returns why there is no room, one clause for people; null: there is
 */
export function withoutRoom(exposure: FleetExposure | null, own: number | null, nextPpm: number): string | null {
  if (exposure === null) return null;
  const { mostPpm, candidatePerMinute, callsPerMinute } = exposure;
  const calls = callsPerMinute + (own ?? 0);
  // Without any known traffic the route counts as the only one.
  const ppm = calls === 0 ? nextPpm : (candidatePerMinute * PPM + (own ?? 0) * nextPpm) / calls;
  if (ppm <= mostPpm) return null;
  return `candidates would serve ${percent(ppm)} of all calls over all routes, and ${percent(mostPpm)} is the most; waits until others are over`;
}
