import type { RolloutSpec } from "../../../../topics/index.ts";
import { BUCKETS } from "../../routing/buckets.ts";
import { canProve, type PlannedSignal, type PlannedStep, WITHOUT_PROOF_PERCENT } from "./plan.ts";

/** One thing that is wrong in a spec: the field as a person writes it, and what to write instead. */
export interface Problem {
  readonly path: string;
  readonly message: string;
}

export function versionProblems(spec: RolloutSpec): Problem[] {
  const problems: Problem[] = [];
  if (spec.candidate === spec.baseline) problems.push({ path: "candidate", message: `is the baseline ${spec.baseline} itself; name the version to roll out` });
  if (!Object.hasOwn(spec.versions, spec.candidate)) {
    problems.push({ path: `versions["${spec.candidate}"]`, message: "is missing; say how to serve the candidate: {upstream, model}" });
  }
  for (const name of Object.keys(spec.versions)) {
    if (name !== spec.candidate && name !== spec.baseline) {
      problems.push({ path: `versions["${name}"]`, message: "is neither the baseline nor the candidate; remove it, or correct its name" });
    }
  }
  return problems;
}

/** What signals must be there so that a rollout means something. */
export function signalProblems(spec: RolloutSpec, signals: readonly PlannedSignal[]): Problem[] {
  const guardrails = signals.filter(({ tier }) => tier === "guardrail");
  if (guardrails.length === 0) {
    return [
      { path: "signals", message: "holds no guardrail: nothing could ever stop or pass this rollout; add one, for example schema_validity or error_rate" },
    ];
  }
  if (spec.confidence === "none") return [];
  const quality = guardrails.filter((signal) => signal.gate === "confidence" && canProve(signal));
  const fix = "add a judged signal such as task_completion with judge.rubric, or write `confidence: none` to accept a rollout without proof of quality";
  const unproven = guardrails.find((signal) => signal.gate === "confidence" && !canProve(signal));
  if (quality.length === 0 && unproven !== undefined) {
    const message = `holds no guardrail of the confidence gate that a step can rest on: ${unproven.name} is an outcome without maturity; give it one, for example maturity: 30m, or ${fix}`;
    return [{ path: "signals", message }];
  }
  if (quality.length === 0) return [{ path: "signals", message: `holds no guardrail of the confidence gate; ${fix}` }];
  if (quality.every(({ name }) => name === "schema_validity")) {
    return [{ path: "signals", message: `holds schema_validity as the only guardrail of the confidence gate: well-formed is not right; ${fix}` }];
  }
  return [];
}

export function ladderProblems(
  spec: RolloutSpec,
  { ladder, holdback }: { readonly ladder: readonly PlannedStep[]; readonly holdback: PlannedStep },
): Problem[] {
  const problems: Problem[] = [];
  ladder.forEach(({ percent, buckets }, i) => {
    const before = ladder[i - 1];
    if (before !== undefined && buckets <= before.buckets) {
      problems.push({ path: `ladder[${i}]`, message: `is ${percent} after ${before.percent}; steps must increase by at least 0.01` });
    }
    if (i < ladder.length - 1 && buckets > BUCKETS - holdback.buckets) {
      problems.push({ path: `ladder[${i}]`, message: `is ${percent}, but ${holdback.percent} % are held back: lower the step or the holdback` });
    }
  });
  if (ladder.at(-1)?.percent !== 100)
    problems.push({ path: "ladder", message: "must end with 100: what is observed before `done` is everybody but the holdback" });
  const first = ladder[0]?.percent ?? 0;
  if (spec.advanceOn === "not_breached" && first > WITHOUT_PROOF_PERCENT) {
    problems.push({
      path: "advanceOn",
      message: `not_breached is allowed for steps of at most ${WITHOUT_PROOF_PERCENT} %, and the first step is ${first} %; use safe, or start lower`,
    });
  }
  for (const [i, step] of (spec.approvals ?? []).entries()) {
    if (step >= ladder.length) problems.push({ path: `approvals[${i}]`, message: `is step ${step}, but the ladder has the steps 0 to ${ladder.length - 1}` });
  }
  for (const [i, { from, to }] of (spec.freezeWindows ?? []).entries()) {
    if (!(Date.parse(from) < Date.parse(to))) problems.push({ path: `freezeWindows[${i}]`, message: "ends before it begins; exchange from and to" });
  }
  return problems;
}
