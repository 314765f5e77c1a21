import type { GateEvent, SignalEvidence } from "../../../topics/index.ts";
import type { Outcome, Simulated } from "./simulate.ts";

/** What was known of a signal when the rollout ended: values as people read them, harm and margins as fractions. */
export interface ReportedSignal {
  readonly signal: string;
  readonly slice: string;
  readonly verdict: string;
  readonly value: number | null;
  readonly baseline: number | null;
  readonly delta: number | null;
  readonly bound: number | null;
  readonly tolerated: number;
  readonly limit: number;
  /** Scored candidate records of the step. */
  readonly n: number;
}

/** The result of a backtest as `--json` prints it. */
export interface Report {
  readonly outcome: Outcome;
  readonly phase: string;
  readonly step: number;
  /** Of a stop: the signals that it is due to. Otherwise all guardrails as they were last looked at. */
  readonly reasons: readonly ReportedSignal[];
  readonly timeline: readonly {
    readonly hours: number;
    readonly action: string;
    readonly phase: string;
    readonly step: number;
    /** Candidate's share of subjects, percent. */
    readonly share: number;
    readonly reasons: readonly string[];
    readonly message: string;
  }[];
  readonly requests_exposed: number;
  readonly virtual_hours: number;
}

const HOUR_MS = 3_600_000;
const rounded = (x: number, digits = 3) => Math.round(x * 10 ** digits) / 10 ** digits;

export function reportOf(result: Simulated): Report {
  const { outcome, events, attempt, exposed, virtualMs } = result;
  const startMs = events[0]?.atMs ?? 0;
  return {
    outcome,
    phase: attempt?.phase ?? "pending",
    step: attempt?.step ?? -1,
    reasons: reasonsOf(outcome, events),
    timeline: events.map((event) => ({
      hours: rounded((event.atMs - startMs) / HOUR_MS),
      action: event.action,
      phase: event.toPhase,
      step: event.toStep,
      share: event.toSharePpm / 10_000,
      reasons: event.reasons,
      message: event.message,
    })),
    requests_exposed: exposed,
    virtual_hours: rounded(virtualMs / HOUR_MS),
  };
}

function reasonsOf(outcome: Outcome, events: readonly GateEvent[]): ReportedSignal[] {
  const isStop = outcome === "rolled_back" || outcome === "frozen";
  const deciding = events.findLast(({ action, signals }) => signals.length > 0 && (!isStop || action === "rolled_back" || action === "frozen"));
  const guardrails = (deciding?.signals ?? []).filter(({ tier, edition }) => tier === "guardrail" && edition === 0);
  const guilty = guardrails.filter(({ verdict }) => verdict === "breach");
  return (isStop && guilty.length > 0 ? guilty : guardrails).map(reported);
}

function reported(row: SignalEvidence): ReportedSignal {
  const { signal, slice, verdict, delta, bound, tolerated, limit } = row;
  return { signal, slice, verdict, value: candidateValueOf(row), baseline: row.baselineValue, delta, bound, tolerated, limit, n: row.candidateN };
}

/** Of judged pairs only the difference is known: the candidate's value follows from it and from the baseline's. */
function candidateValueOf({ candidateValue, baselineValue, delta, exposure, direction }: SignalEvidence): number | null {
  if (candidateValue !== null || exposure !== "shadow" || baselineValue === null || delta === null) return candidateValue;
  const value = direction === "lower_is_worse" ? baselineValue - delta : baselineValue + delta;
  return Math.min(1, Math.max(0, value));
}

/** How often each outcome came of several passes, as fractions. `frozen_ever`: those that were frozen at some time, however they ended. */
export function ratesOf(reports: readonly Report[]): Readonly<Record<Outcome | "frozen_ever", number>> {
  const share = (is: (report: Report) => boolean) => reports.filter(is).length / Math.max(1, reports.length);
  return {
    done: share(({ outcome }) => outcome === "done"),
    rolled_back: share(({ outcome }) => outcome === "rolled_back"),
    frozen: share(({ outcome }) => outcome === "frozen"),
    undecided: share(({ outcome }) => outcome === "undecided"),
    frozen_ever: share(({ timeline }) => timeline.some(({ action }) => action === "frozen")),
  };
}
