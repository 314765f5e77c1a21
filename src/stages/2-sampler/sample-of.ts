import type { Request, Sample } from "../../../topics/index.ts";
import { isDrawn } from "../../domain/sampling/draw.ts";
import { isInScope, judgedSignals } from "../../domain/signals/call-contributions.ts";
import type { SamplerTable } from "./table-gate.ts";

/** The sample of a call, or null when it is not drawn: only answered calls of routes with rubrics are. */
export function sampleOf(call: Request, rubrics: SamplerTable["rubrics"]): Sample | null {
  if (judgedSignals(rubrics).length === 0 || !isInScope(call) || !isDrawn(call.requestId, call.samplePpm)) return null;
  const { requestId, route, rollout, attempt, step, epoch, arm, version, exposure, subject, traceId, slices, endedAtMs, paneMs, samplePpm } = call;
  const attribution = { requestId, route, rollout, attempt, step, epoch, arm, version, exposure, subject, traceId, slices, endedAtMs, paneMs, samplePpm };
  const { requestBody, responseBody, reference, twin, cut } = call;
  const bodies = cut
    ? { requestBody: null, responseBody: null, reference: null, twin: twin === null ? null : { ...twin, responseBody: null } }
    : { requestBody, responseBody, reference, twin };
  return { ...attribution, rubrics: rubrics.map(({ digest }) => digest), cut, ...bodies };
}
