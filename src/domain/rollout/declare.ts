import type { ServedVersion } from "../../../topics/index.ts";
import { canonicalJson } from "./canonical-json.ts";
import type { ReducerDeps } from "./gate-event.ts";
import type { SpecInput } from "./input.ts";
import { begin, rollBack } from "./phases.ts";
import type { Reason } from "./reasons.ts";
import { normaliseSpec, rolloutIdOf } from "./spec/normalise.ts";
import type { RolloutPlan } from "./spec/plan.ts";
import { isRunning, type RouteState } from "./state.ts";
import { type Moment, publish, type Step, tell, unchanged } from "./step.ts";

/** Takes a declared spec: starts an attempt, or says precisely why not. That of the present attempt, declared again, does nothing. */
export function declare(state: RouteState, input: SpecInput, moment: Moment): Step {
  if (state.current?.specDigest === input.digest) return unchanged(state);
  const earlier = state.starts.find(({ digest }) => digest === input.digest);
  if (earlier !== undefined) return refuse(state, input, moment, "spec_refused", [startedBefore(earlier)]);
  if (input.spec === null) return refuse(state, input, moment, "spec_refused", input.problems);
  const normalised = normaliseSpec(input.spec, input.rubrics);
  if (normalised.kind === "refused") {
    return refuse(
      state,
      input,
      moment,
      "spec_refused",
      normalised.problems.map(({ path, message }) => `${path} ${message}`),
    );
  }
  if (isRunning(state.current)) {
    const { plan, attempt, phase } = state.current;
    return refuse(state, input, moment, "spec_conflict", [
      `rollout ${plan.rollout}, attempt ${attempt}, is running (${phase}): let it end, or roll it back, then apply again`,
    ]);
  }
  const { plan, notices } = normalised;
  const problems = [...servingProblems(state, plan, moment.deps), ...candidateProblems(state, plan, moment.deps), ...upstreamProblems(plan, input)];
  const serving = state.serving ?? plan.baselineVersion;
  if (problems.length > 0 || serving === null) return refuse(state, input, moment, "spec_refused", problems);
  return start(unchanged(state), { plan, serving, specDigest: input.digest, actor: input.actor, notices }, moment);
}

function startedBefore({ rollout, attempt }: RouteState["starts"][number]): string {
  return `it was started before, as attempt ${attempt} of ${rollout}, and no spec is started twice: use retry for a new attempt of the newest rollout, or give this spec another id (or any other change)`;
}

export interface Start {
  readonly plan: RolloutPlan;
  readonly serving: ServedVersion;
  readonly specDigest: string;
  readonly actor: string;
  readonly notices: readonly string[];
}

/** Begins an attempt and publishes its first table. Under a brake on all routes it is over at once; `retry` brings the next. */
export function start(before: Step, { plan, serving, specDigest, actor, notices }: Start, moment: Moment): Step {
  const begun = begin(before.state, plan, { specDigest, serving, atMs: moment.atMs, definitionOf: (version) => definitionOf(version, moment.deps) });
  const where = plan.shadow === null ? `at ${plan.ladder[0]?.percent} %` : "in shadow";
  const message = [`${plan.candidate} starts ${where} against ${serving.name}`, ...notices].join("; ");
  const started = publish(before, begun, { action: "started", reasons: ["started"], message, actor }, moment);
  const attempt = started.state.current;
  if (!started.state.isBrakedByAll || attempt === null) return started;
  const over = { ...started.state, current: rollBack(attempt, ["brake"]) };
  return publish(started, over, { action: "rolled_back", reasons: ["brake"], message: "a brake on all routes is set: clear it, then retry" }, moment);
}

function refuse(state: RouteState, input: SpecInput, moment: Moment, reason: Reason, problems: readonly string[]): Step {
  const { spec, digest } = input;
  const about = {
    rollout: spec === null ? "" : rolloutIdOf(spec),
    baseline: spec?.baseline ?? "",
    candidate: spec?.candidate ?? "",
    specDigest: digest,
  };
  const message = `the spec was not started: ${problems.join("; ")}`;
  return tell(unchanged(state), state, { action: "held", reasons: [reason], message, actor: input.actor, about }, moment);
}

/** Digest of what a version is, whatever its name; the order of its parameters means nothing. */
function definitionOf({ upstream, model, parameters, systemTemplate }: ServedVersion, deps: ReducerDeps): string {
  return deps.sha256(canonicalJson({ upstream, model, parameters: JSON.parse(parameters), systemTemplate }));
}

/** The baseline is what serves now; a version is immutable. */
function servingProblems({ serving }: RouteState, plan: RolloutPlan, deps: ReducerDeps): string[] {
  if (serving === null) {
    return plan.baselineVersion === null
      ? [`versions["${plan.baseline}"] is missing: the route is new, so say how to serve its baseline: {upstream, model}`]
      : [];
  }
  if (serving.name !== plan.baseline) return [`baseline is ${plan.baseline}, but ${serving.name} serves the route: name it as the baseline`];
  if (plan.baselineVersion !== null && definitionOf(serving, deps) !== definitionOf(plan.baselineVersion, deps)) {
    return [`versions["${plan.baseline}"] differs from what serves under this name: a version is immutable; leave it out, or give the change a new name`];
  }
  return [];
}

/** Evidence, fallback and events of a candidate go by its name: it must mean now what it meant before. */
function candidateProblems({ definitions }: RouteState, plan: RolloutPlan, deps: ReducerDeps): string[] {
  const known = Object.hasOwn(definitions, plan.candidate) ? definitions[plan.candidate] : undefined;
  if (known === undefined || known === definitionOf(plan.candidateVersion, deps)) return [];
  return [`versions["${plan.candidate}"] differs from what was rolled out under this name: a version is immutable; give the change a new name`];
}

/** A spec that a live gateway could not obey is refused, with the gateways. */
function upstreamProblems(plan: RolloutPlan, { gateways }: SpecInput): string[] {
  const versions = [plan.candidateVersion, ...(plan.baselineVersion === null ? [] : [plan.baselineVersion])];
  return versions.flatMap(({ name, upstream }) => {
    const unaware = gateways.filter(({ upstreams }) => !upstreams.includes(upstream)).map(({ instance }) => instance);
    if (unaware.length === 0) return [];
    return [
      `versions["${name}"].upstream: ${upstream} is unknown to the live gateways ${unaware.join(", ")}: add it to their upstreams, or name one that they know`,
    ];
  });
}
