import { type Preset, presets } from "../rollout/spec/presets.ts";

/** What an audit reads of a call. Null: the call does not carry it. */
export interface AuditCall {
  /** Epoch ms of the call's start or end, whichever its source records. */
  readonly atMs: number | null;
  /** Who asked: user, session, or null. */
  readonly subject: string | null;
  readonly error: boolean | null;
  readonly schemaValid: boolean | null;
  readonly taskPass: boolean | null;
  readonly grounded: boolean | null;
  readonly latencyMs: number | null;
  readonly ttftMs: number | null;
  readonly costUsd: number | null;
  readonly outputTokens: number | null;
}

/** Pass or fail, as the loss of a call. */
export type RateField = "error" | "schema" | "task" | "grounded";
/** A quantity of a call. */
export type QuantityField = "latency" | "ttft" | "cost" | "tokens";

export const rateFields: readonly RateField[] = ["error", "schema", "task", "grounded"];
export const quantityFields: readonly QuantityField[] = ["latency", "ttft", "cost", "tokens"];

/** 1: bad, 0: good, null: not known. */
export function lossOf(call: AuditCall, field: RateField): 0 | 1 | null {
  const value = { error: call.error, schema: call.schemaValid, task: call.taskPass, grounded: call.grounded }[field];
  if (value === null) return null;
  return value === (field === "error") ? 1 : 0;
}

/** Milliseconds, dollars or tokens; null: not known. */
export function quantityOf(call: AuditCall, field: QuantityField): number | null {
  return { latency: call.latencyMs, ttft: call.ttftMs, cost: call.costUsd, tokens: call.outputTokens }[field];
}

/** One number that a rule looks at. */
export type Measure =
  | { readonly kind: "rate"; readonly name: string; readonly field: RateField; readonly isLoss: boolean }
  | { readonly kind: "percentile"; readonly name: string; readonly field: QuantityField; readonly level: number; readonly unit: "ms" }
  | { readonly kind: "mean"; readonly name: string; readonly field: QuantityField; readonly unit: "ms" | "usd" | "tokens" };

const named: readonly Measure[] = [
  { kind: "rate", name: "error_rate", field: "error", isLoss: true },
  { kind: "rate", name: "schema_validity", field: "schema", isLoss: false },
  { kind: "rate", name: "task_completion", field: "task", isLoss: false },
  { kind: "rate", name: "groundedness", field: "grounded", isLoss: false },
  { kind: "mean", name: "cost_per_request", field: "cost", unit: "usd" },
  { kind: "mean", name: "output_tokens", field: "tokens", unit: "tokens" },
  { kind: "mean", name: "latency_mean", field: "latency", unit: "ms" },
  { kind: "mean", name: "ttft_mean", field: "ttft", unit: "ms" },
];

/** Names that a rule may use, for messages. */
export const measureNames: readonly string[] = [...named.map(({ name }) => name), "latency_p50 … latency_p99.9", "ttft_p50 … ttft_p99.9"];

/** The measure of a name, or null when there is none. */
export function measureOf(name: string): Measure | null {
  const found = named.find((measure) => measure.name === name);
  if (found !== undefined) return found;
  const [, field, percent] = /^(latency|ttft)_p(\d{1,2}(?:\.\d{1,2})?)$/.exec(name) ?? [];
  const level = Number(percent) / 100;
  if (field === undefined || !(level > 0 && level < 1)) return null;
  return { kind: "percentile", name, field: field as QuantityField, level, unit: "ms" };
}

/** A signal that headgate would guard, with the preset that says how. */
export interface GuardedSignal {
  readonly measure: Measure;
  readonly preset: Preset;
}

/** Presets that recorded calls can carry, in the order of the tables. */
const guarded = ["error_rate", "schema_validity", "task_completion", "groundedness", "latency_p95", "ttft_p95", "cost_per_request"];

/** What headgate would guard by default, of what the calls carry. */
export function guardedSignals(carries: (field: RateField | QuantityField) => boolean): GuardedSignal[] {
  return guarded.flatMap((name) => {
    const measure = measureOf(name);
    const preset = presets[name];
    return measure !== null && preset !== undefined && carries(measure.field) ? [{ measure, preset }] : [];
  });
}
