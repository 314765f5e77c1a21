import { HUNDREDTHS, lossOf } from "../signals/contribution.ts";
import { callSignals } from "../signals/names.ts";
import { logBucket, OVERFLOW_BUCKET } from "../stats/log-bucket.ts";
import type { RecordedCall } from "./recorded-call.ts";

/** How a signal's values are counted in blocks (topics/parts.ts). */
export type ValueKind = "binary" | "grid" | "log";

const MICRO_USD = 1e6;
const quantities: ReadonlySet<string> = new Set([callSignals.latency, callSignals.ttft, callSignals.cost, callSignals.outputTokens]);

/** Values of a call by signal: losses in hundredths (0 good, 100 bad), quantities as log buckets; what the row does not say is absent. */
export function valuesOf(call: RecordedCall): ReadonlyMap<string, number> {
  const values = new Map<string, number>();
  const bad = (signal: string, isBad: boolean | null) => {
    if (isBad !== null) values.set(signal, isBad ? HUNDREDTHS : 0);
  };
  const quantity = (signal: string, amount: number | null) => {
    if (amount !== null) values.set(signal, logBucket(amount));
  };
  bad(callSignals.schemaValidity, call.isSchemaValid === null ? null : !call.isSchemaValid);
  bad(callSignals.errorRate, call.isError);
  // A call that never answered exceeds every threshold; it is not missing (statistics.md section 1.4).
  if (call.isTimeout) values.set(callSignals.latency, OVERFLOW_BUCKET);
  else quantity(callSignals.latency, call.latencyMs);
  quantity(callSignals.ttft, call.ttftMs);
  quantity(callSignals.cost, call.costUsd === null ? null : call.costUsd * MICRO_USD);
  quantity(callSignals.outputTokens, call.outputTokens);
  for (const [signal, quality] of call.scores) values.set(signal, lossOf(quality));
  return values;
}

/** How each signal of these calls is counted: a rate is a score as soon as one of its values is neither good nor bad. */
export function kindsOf(calls: readonly RecordedCall[]): ReadonlyMap<string, ValueKind> {
  const kinds = new Map<string, ValueKind>();
  for (const call of calls) {
    for (const [signal, value] of valuesOf(call)) {
      const kind = quantities.has(signal) ? "log" : value % HUNDREDTHS === 0 ? "binary" : "grid";
      if (kinds.get(signal) !== "grid") kinds.set(signal, kind);
    }
  }
  return kinds;
}
