import type { Request, RoutingTable } from "../../../topics/index.ts";
import type { CheckedAnswer } from "../checks/check-answer.ts";
import { type ErrorClass, errorClasses, errorClassOf, isFailed } from "../checks/error-class.ts";
import { isDrawn } from "../sampling/draw.ts";
import { logBucket } from "../stats/log-bucket.ts";
import { type Contribution, HUNDREDTHS, uncounted } from "./contribution.ts";
import { callSignals, isCallSignal } from "./names.ts";
import type { Kind } from "./series.ts";

const EVERY_CALL_PPM = 1_000_000;
const MICRO_USD = 1_000_000;

/** What the checks made of both sides of a call; null where a side was not answered (or there is none). */
export interface CheckedCall {
  readonly call: CheckedAnswer | null;
  readonly twin: CheckedAnswer | null;
}

/** What the attempt settles about a call, beside its checks. */
export interface CallAbout {
  /** Caps of quantities, fixed for the attempt; empty until they are known. */
  readonly valueCaps: RoutingTable["valueCaps"];
  /** Whether the attempt sees the subject for the first time; null: not known. */
  readonly isNewSubject: boolean | null;
}

const nothingSettled: CallAbout = { valueCaps: [], isNewSubject: null };

function counted(signal: string, kind: Kind, value: number): Contribution {
  return { ...uncounted, signal, kind, evaluatorVersion: "", samplePpm: EVERY_CALL_PPM, records: 1, sampled: 1, value };
}

const binary = (signal: string, isBad: boolean) => counted(signal, "binary", isBad ? 1 : 0);
const paired = (signal: string, isBad: boolean, twinIsBad: boolean) => counted(signal, "paired", HUNDREDTHS * (Number(isBad) - Number(twinIsBad)));

/**
 * In scope, and nobody could say: counted and shown, so that what is too long to be checked is seen to be missing in each slice. It holds no advance by
 * itself, as a judged signal's unscored records do: the margins of checks stay as they are (statistics.md section 1.8).
 */
const missing = (signal: string, kind: Kind): Contribution => ({
  ...uncounted,
  signal,
  kind,
  evaluatorVersion: "",
  samplePpm: EVERY_CALL_PPM,
  records: 1,
  sampled: 1,
  failed: 1,
});

/** A form was asked for, and whether the answer has it is not known: too long to be read, or too slow to be checked. Neither valid nor invalid. */
const isUnknown = (checked: CheckedAnswer | null): boolean => checked !== null && (checked.unread || checked.timedOut);

/** A form was asked for, and there is an answer that should have it: one that failed or calls tools need not. */
const isFormDue = (checked: CheckedAnswer | null): boolean => checked !== null && (checked.schemaValid !== null || isUnknown(checked));

const classSignals: Readonly<Record<ErrorClass, string>> = {
  timeout: callSignals.timeouts,
  rate_limit: callSignals.rateLimits,
  client: callSignals.clientErrors,
  server: callSignals.serverErrors,
};

/** The rate of each class of error, for people: `error_rate` is what gates. */
function errorClassesOf(call: Request): Contribution[] {
  const found = errorClassOf(call);
  return errorClasses.map((name) => binary(classSignals[name], name === found));
}

/** @param quantity Infinity: never ended, which counts as the cap */
function quantityOf(signal: string, quantity: number, shown: number | null, { valueCaps }: CallAbout): Contribution {
  const cap = valueCaps.find((each) => each.signal === signal)?.cap;
  const capped = cap === undefined ? null : Math.round(Math.min(Math.max(quantity, 0), cap));
  return { ...counted(signal, "log", logBucket(quantity)), shown, capped };
}

/** Every call has a latency, so that subjects at first sight are counted with it. */
function measured(call: Request, about: CallAbout): Contribution[] {
  const { latencyMs, ttftMs, costUsd, outputTokens, status } = call;
  // Timeouts and cancelled calls never answered: an exceedance of any threshold, never missing (statistics.md section 1.4).
  const hangs = status === "timeout" || status === "cancelled";
  const latency = quantityOf(callSignals.latency, hangs ? Number.POSITIVE_INFINITY : latencyMs, status === "cancelled" ? null : latencyMs, about);
  const found = [{ ...latency, newSubjects: about.isNewSubject === null ? null : Number(about.isNewSubject) }];
  if (ttftMs !== null) found.push(quantityOf(callSignals.ttft, ttftMs, ttftMs, about));
  if (costUsd !== null) found.push(quantityOf(callSignals.cost, costUsd * MICRO_USD, costUsd * MICRO_USD, about));
  if (outputTokens !== null) found.push(quantityOf(callSignals.outputTokens, outputTokens, outputTokens, about));
  return found;
}

function servedChecks(call: Request, checked: CheckedAnswer | null): Contribution[] {
  const found: Contribution[] = [];
  const bad = isFailed(call);
  if (bad !== null) found.push(binary(callSignals.errorRate, bad), ...errorClassesOf(call));
  if (checked === null) return found;
  if (checked.schemaValid !== null) found.push(binary(callSignals.schemaValidity, !checked.schemaValid));
  else if (isUnknown(checked)) found.push(missing(callSignals.schemaValidity, "binary"));
  if (checked.empty !== null) found.push(binary(callSignals.emptyOutput, checked.empty));
  found.push(binary(callSignals.cutOutput, checked.cut));
  return found;
}

/** In shadow the candidate's side is counted for floors, and its difference to the twin's as evidence (statistics.md section 1.5). */
function shadowChecks(call: Request, { call: checked, twin: twinChecked }: CheckedCall): Contribution[] {
  const found: Contribution[] = [];
  const bad = isFailed(call);
  const twinBad = call.twin === null ? null : isFailed(call.twin);
  if (bad !== null) found.push(binary(callSignals.errorRate, bad));
  if (bad !== null && twinBad !== null) found.push(paired(callSignals.errorRate, bad, twinBad));
  const valid = checked?.schemaValid ?? null;
  const twinValid = twinChecked?.schemaValid ?? null;
  if (valid !== null) found.push(binary(callSignals.schemaValidity, !valid));
  else if (isUnknown(checked)) found.push(missing(callSignals.schemaValidity, "binary"));
  if (valid !== null && twinValid !== null) found.push(paired(callSignals.schemaValidity, !valid, !twinValid));
  else if (isFormDue(checked) && isFormDue(twinChecked)) found.push(missing(callSignals.schemaValidity, "paired"));
  return found;
}

/** The signals that a route's rubrics score, with their forms; names of the sampler's own signals are left out. */
export function judgedSignals(rubrics: RoutingTable["rubrics"]): { readonly name: string; readonly form: Kind }[] {
  const forms = new Map<string, Kind>();
  for (const { signals } of rubrics) {
    for (const { name, form } of signals) if (!isCallSignal(name) && !forms.has(name)) forms.set(name, form === "grid" ? "grid" : "binary");
  }
  return [...forms].map(([name, form]) => ({ name, form }));
}

/** Whether a call is in scope of the judges at all; how it was drawn is a function of its id. There is nothing to read in embeddings. */
export const isInScope = (call: Request): boolean => call.status === "ok" && call.operation !== "embeddings";

function drawn(call: Request, rubrics: RoutingTable["rubrics"]): Contribution[] {
  if (!isInScope(call)) return [];
  const sampled = Number(isDrawn(call.requestId, call.samplePpm));
  const { samplePpm } = call;
  return judgedSignals(rubrics).map(({ name, form }) => {
    const kind = call.exposure === "shadow" ? "paired" : form;
    return { ...uncounted, signal: name, kind, evaluatorVersion: "", samplePpm, records: 1, sampled };
  });
}

/**
 * Everything that one call adds to the partials: what was measured, what the checks say, and how many were in scope and drawn for
 * each judged signal of the route.
 */
export function callContributions(call: Request, checked: CheckedCall, rubrics: RoutingTable["rubrics"], about: CallAbout = nothingSettled): Contribution[] {
  const checks = call.exposure === "shadow" ? shadowChecks(call, checked) : servedChecks(call, checked.call);
  return [...checks, ...measured(call, about), ...drawn(call, rubrics)];
}
