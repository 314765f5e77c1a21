import type { GateEvent } from "../../../topics/index.ts";

/** A decision in one line. Shares in percent of subjects. */
export interface TimelineRow {
  readonly seq: number;
  readonly id: string;
  readonly atMs: number;
  readonly action: GateEvent["action"];
  readonly rollout: string;
  readonly attempt: number;
  readonly phase: GateEvent["toPhase"];
  readonly step: number;
  readonly sharePct: number;
  readonly condition: GateEvent["condition"];
  readonly reasons: readonly string[];
  readonly message: string;
}

export function timelineRow(event: GateEvent): TimelineRow {
  return {
    seq: event.evidenceSeq,
    id: event.id,
    atMs: event.atMs,
    action: event.action,
    rollout: event.rollout,
    attempt: event.attempt,
    phase: event.toPhase,
    step: event.toStep,
    sharePct: event.toSharePpm / 10_000,
    condition: event.condition,
    reasons: event.reasons,
    message: event.message,
  };
}
