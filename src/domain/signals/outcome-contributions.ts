import type { Request, RoutingTable } from "../../../topics/index.ts";
import { type Contribution, HUNDREDTHS, lossOf, uncounted } from "./contribution.ts";
import { OUTCOME_EVALUATOR } from "./names.ts";

type Declared = RoutingTable["outcomes"][number];

/** Outcomes are asked of every call: nothing is drawn. */
const EVERY_CALL_PPM = 1_000_000;

const counted = ({ signal, form }: Declared) => ({
  ...uncounted,
  signal,
  kind: form === "grid" ? ("grid" as const) : ("binary" as const),
  evaluatorVersion: OUTCOME_EVALUATOR,
  samplePpm: EVERY_CALL_PPM,
});

/**
 * What a call promises: an outcome of each signal that has a maturity. What has not come when the pane of its start closes is unscored. Only an answered,
 * served call has somebody whom it could be good for.
 */
export function expectedOutcomes(call: Pick<Request, "exposure" | "status">, declared: readonly Declared[]): Contribution[] {
  if (call.exposure !== "served" || call.status !== "ok") return [];
  return declared.filter(({ maturityMs }) => maturityMs !== null).map((signal) => ({ ...counted(signal), records: 1, sampled: 1 }));
}

/** What an outcome adds: a value of 0 (worst) to 1 (best). Of a pass/fail signal what is nearer to 1 is good. */
export function outcomeContribution(signal: Declared, value: number): Contribution {
  const loss = lossOf(value);
  return { ...counted(signal), value: signal.form === "grid" ? loss : Math.round(loss / HUNDREDTHS) };
}
