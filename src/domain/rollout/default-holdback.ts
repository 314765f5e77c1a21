import type { RolloutSpec } from "../../../topics/index.ts";
import { smallestHoldback } from "../planning/holdback.ts";
import { type Normalised, normaliseSpec } from "./spec/normalise.ts";
import type { WantedRubrics } from "./spec/plan.ts";

/**
 * A spec as a plan, with the holdback that the route's volume needs where the spec names none: the smallest of 1, 2, 5 and 10 % with which harm at the
 * limit is found within a day (DESIGN.md section 6).
 *
 * @param perMinute calls of the route; null: not known, and the holdback is the fixed default
 */
export function planWithHoldback(spec: RolloutSpec, rubrics: WantedRubrics, perMinute: number | null): Normalised {
  const normalised = normaliseSpec(spec, rubrics);
  if (normalised.kind === "refused" || spec.holdback !== undefined || perMinute === null || perMinute === 0) return normalised;
  const { percent, isEnough } = smallestHoldback(normalised.plan, { callsPerMinute: perMinute });
  const planned = normaliseSpec({ ...spec, holdback: percent }, rubrics);
  if (planned.kind === "refused") return normalised;
  const why = isEnough
    ? "the smallest that finds harm at the limit within a day"
    : "the largest, which does not find harm at the limit within a day at this volume";
  return { ...planned, notices: [...planned.notices, `holds back ${percent} % at 100 %: ${why}`] };
}
