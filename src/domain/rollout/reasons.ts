/**
 * Why a rollout is where it is. Each has its section in docs/runbook.md (what it means, what users feel, the one command);
 * a test compares both ways. Old reasons are never renamed: events hold them for a year.
 */
export const reasons = [
  "started",
  "min_dwell",
  "max_dwell",
  "min_samples",
  "no_data",
  "stale",
  "inconclusive",
  "safe",
  "advance_without_proof",
  "awaiting_approval",
  "freeze_window",
  "observing",
  "observation_complete",
  "no_holdback",
  "signal_breach",
  "set_aside",
  "data_returned",
  "baseline_below_floor",
  "split_mismatch",
  "evaluation_error",
  "operator",
  "brake",
  "command_refused",
  "spec_refused",
  "spec_conflict",
  "queued",
  "withdrawn",
  "replaced",
  "edited",
  "exposure_cap",
  "fallback_expired",
] as const;
export type Reason = (typeof reasons)[number];
