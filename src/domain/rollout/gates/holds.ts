import { ln } from "../../stats/ln.ts";
import { nano } from "../../stats/nano-nats.ts";
import type { Assessment } from "../evidence/assess.ts";
import type { Reason } from "../reasons.ts";
import { WITHOUT_PROOF_REQUESTS } from "../spec/plan.ts";
import type { Attempt } from "../state.ts";
import type { GateInput } from "./gate.ts";

/** Why a gate does not let a step be left yet. */
export interface Hold {
  readonly reason: Reason;
  readonly about: readonly string[];
  readonly message: string;
}

const namesOf = (found: readonly Assessment[]) => found.map(({ planned }) => planned.name);

/** The first thing that is missing, in the order of DESIGN.md section 6: fresh data, then samples, then verdicts. Null: nothing. */
export function firstHold(input: GateInput, required: readonly Assessment[], needsSamples: readonly Assessment[]): Hold | null {
  return freshness(input, required) ?? sampleSize(input, needsSamples) ?? (input.mode === "safe" ? safety(input, required) : withoutProof(input, required));
}

/**
 * What every step demands before it is left, whatever its guardrails: fresh panes of its own, and requests of the candidate
 * in it. Time alone is no evidence.
 */
export function stepHold({ attempt, isFresh, mode }: GateInput): Hold | null {
  if (!isFresh.calls) return { reason: "stale", about: ["calls"], message: "no pane of calls of this step closed lately" };
  const least = mode === "without_proof" ? WITHOUT_PROOF_REQUESTS : attempt.plan.minSamples;
  if (attempt.stepRequests >= least) return null;
  return { reason: "min_samples", about: ["requests"], message: `${attempt.stepRequests} of ${least} candidate requests` };
}

function freshness(input: GateInput, required: readonly Assessment[]): Hold | null {
  const stale = required.filter(({ planned }) => !input.isFresh[planned.group]);
  if (stale.length > 0) return { reason: "stale", about: namesOf(stale), message: `no pane of this step closed lately for ${namesOf(stale).join(", ")}` };
  if (input.mode !== "safe") return null;
  const missing = required.filter(({ hasNoData }) => hasNoData);
  return missing.length === 0
    ? null
    : { reason: "no_data", about: namesOf(missing), message: `too little data, or too much unscored, for ${namesOf(missing).join(", ")}` };
}

function sampleSize({ attempt, mode }: GateInput, needsSamples: readonly Assessment[]): Hold | null {
  const { minSamples } = attempt.plan;
  if (mode === "without_proof") return null;
  const few = needsSamples.filter(({ candidateN, baselineN }) => Math.min(candidateN, baselineN) < minSamples);
  if (few.length === 0) return null;
  const counts = few.map(({ planned, candidateN, baselineN }) => `${planned.name} ${Math.min(candidateN, baselineN)}`);
  return { reason: "min_samples", about: namesOf(few), message: `of ${minSamples} scores per arm: ${counts.join(", ")}` };
}

const worryOf = ({ plan }: Attempt) => nano(ln(1 / plan.alpha) / 2);

function safety({ attempt }: GateInput, required: readonly Assessment[]): Hold | null {
  // Fresh evidence of harm in this step withholds what older evidence would allow: 1/sqrt(alpha).
  const worry = worryOf(attempt);
  const open = required.filter(({ isSafe, stepLogE }) => !isSafe || stepLogE >= worry);
  return open.length === 0 ? null : { reason: "inconclusive", about: namesOf(open), message: `not yet proven safe: ${namesOf(open).join(", ")}` };
}

/** statistics.md section 2: no evidence of harm on the whole (A below 1), and floors safe. */
function withoutProof({ attempt, crossing }: GateInput, required: readonly Assessment[]): Hold | null {
  const open = required.filter(({ isFloorSafe }) => !isFloorSafe);
  if (open.length > 0) return { reason: "inconclusive", about: namesOf(open), message: `floor not yet proven: ${namesOf(open).join(", ")}` };
  // Mirrored calls of a shadow without proof can incriminate, but nothing in it can exonerate.
  const most = attempt.phase === "shadow" ? worryOf(attempt) : 0;
  return crossing.logA < most ? null : { reason: "inconclusive", about: [], message: "the evidence taken together does not speak against harm yet" };
}
