import { setTimeout as sleep } from "node:timers/promises";
import type { Item } from "../../domain/judging/item.ts";
import { judgePrompt } from "../../domain/judging/prompt.ts";
import { fullJitterMs } from "../../domain/judging/retry-delay.ts";
import type { Rubric } from "../../domain/judging/rubric.ts";
import type { EndpointGate } from "./endpoint-gate.ts";
import type { JudgeMetrics } from "./metrics.ts";
import type { AskOnce, CallOutcome, Form } from "./model-client.ts";
import { type ReadVerdict, type SignalAnswer, verdictForm } from "./verdict-form.ts";

/** Why an item could not be judged. Each is a failure of the judge. */
export type FailureClass = "refused" | "too_long" | "rejected" | "unparsable" | "deadline";

/** What became of one item. */
export type Asked =
  | {
      readonly kind: "answered";
      readonly signals: Readonly<Record<string, SignalAnswer>>;
      readonly costUsd: number | null;
      readonly latencyMs: number;
    }
  | { readonly kind: "failed"; readonly reason: FailureClass; readonly problem: string; readonly costUsd: number | null; readonly latencyMs: number };

export interface AskParts {
  readonly askOnce: AskOnce;
  readonly gate: EndpointGate;
  readonly metrics: JudgeMetrics;
  readonly deadlineMs: number;
  readonly now: () => number;
  readonly dice: () => number;
  readonly nonce: () => string;
  /** Told about each outage with what a person can do about it, and nothing of the item. */
  readonly onOutage: (problem: string, isConfiguration: boolean) => void;
}

/** Times that an answer which cannot be read is asked for again. */
const reAsks = 2;
/** Endpoint-wide pause when a rate limit names none. */
const busyPauseMs = 500;

interface Spent {
  latencyMs: number;
  costUsd: number | null;
}

/** Asks the judge about one item until it is answered, cannot be, or has taken too long. Rejects only when the signal aborts. */
export async function ask(parts: AskParts, rubric: Rubric, item: Item, signal: AbortSignal): Promise<Asked> {
  const { form, read: readForm } = verdictForm(rubric);
  const spent: Spent = { latencyMs: 0, costUsd: null };
  let unread = 0;
  let failures = 0;
  for (let attempt = 0; ; attempt++) {
    if (attempt > 0) parts.metrics.retries.inc();
    const { outcome, tookMs } = await callOnce(parts, judgePrompt(rubric, item, parts.nonce()), form, signal);
    account(spent, outcome, tookMs, parts.gate);
    const read = outcome.kind === "answered" ? readForm(outcome.text) : outcome;
    if (read.kind === "verdict") return { kind: "answered", signals: read.signals, ...spent };
    if (read.kind === "unparsable" && ++unread <= reAsks) continue;
    if (read.kind !== "busy" && read.kind !== "outage") return { kind: "failed", ...failureOf(read), ...spent };
    if (spent.latencyMs >= parts.deadlineMs) return { kind: "failed", reason: "deadline", problem: `not judged within ${parts.deadlineMs} ms`, ...spent };
    spent.latencyMs += await pauseBefore(parts, read, ++failures, signal);
  }
}

/** A call that only found out that the endpoint is down is the outage's time, not the item's. */
function account(spent: Spent, outcome: CallOutcome, tookMs: number, gate: EndpointGate): void {
  if (outcome.kind !== "outage" || !gate.isDown) spent.latencyMs += tookMs;
  if ("costUsd" in outcome && outcome.costUsd !== null) spent.costUsd = (spent.costUsd ?? 0) + outcome.costUsd;
}

type Final = Exclude<ReadVerdict | CallOutcome, { kind: "verdict" | "answered" | "busy" | "outage" }>;

function failureOf(read: Final): { reason: FailureClass; problem: string } {
  // Aborted calls never get here: `callOnce` has thrown.
  if (read.kind === "aborted") throw new Error("an aborted call was read");
  return { reason: read.kind, problem: read.problem };
}

/** @returns ms that count for the item */
async function pauseBefore(
  parts: AskParts,
  outcome: Extract<CallOutcome, { kind: "busy" | "outage" }>,
  failures: number,
  signal: AbortSignal,
): Promise<number> {
  // While the breaker is open the gate does the waiting, for as long as it takes.
  if (parts.gate.isDown) return 0;
  const ms = fullJitterMs(failures, parts.dice()) + (outcome.kind === "busy" ? (outcome.retryAfterMs ?? busyPauseMs) : 0);
  await sleep(ms, undefined, { signal });
  return ms;
}

async function callOnce(parts: AskParts, prompt: Parameters<AskOnce>[0], form: Form, signal: AbortSignal): Promise<{ outcome: CallOutcome; tookMs: number }> {
  const { gate, metrics, now } = parts;
  await gate.enter(signal);
  const startedAtMs = now();
  let outcome: CallOutcome = { kind: "aborted" };
  try {
    outcome = await parts.askOnce(prompt, form, signal);
  } finally {
    if (outcome.kind === "outage") gate.leave("outage");
    else if (outcome.kind === "busy") gate.leave("busy", outcome.retryAfterMs ?? busyPauseMs);
    else gate.leave(outcome.kind === "aborted" ? "unknown" : "answer");
  }
  const tookMs = Math.max(0, now() - startedAtMs);
  metrics.calls.inc({ outcome: outcome.kind });
  if (outcome.kind === "aborted") signal.throwIfAborted();
  if (outcome.kind === "answered") metrics.seconds.observe(tookMs / 1000);
  if ("costUsd" in outcome && outcome.costUsd !== null) metrics.costUsd.inc(outcome.costUsd);
  if (outcome.kind === "outage") parts.onOutage(outcome.problem, outcome.isConfiguration);
  return { outcome, tookMs };
}
