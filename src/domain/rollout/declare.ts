import type { RolloutSpec, ServedVersion } from "../../../topics/index.ts";
import { canonicalJson } from "./canonical-json.ts";
import { planWithHoldback } from "./default-holdback.ts";
import { applyEdit, editProblems, isTableEdited, loosenings, weakened } from "./edit.ts";
import { withoutRoom } from "./exposure-cap.ts";
import type { ReducerDeps } from "./gate-event.ts";
import type { SpecInput } from "./input.ts";
import { APPROVAL_FROM, ancestorsOf, countOf } from "./ledger.ts";
import { begin as beginAttempt, rollBack } from "./phases.ts";
import { type Approval, namesOfWaiting, put, slotOf, type Waiting, type WaitingSpecs, waitingOf } from "./queue.ts";
import type { Reason } from "./reasons.ts";
import { callsPerMinute, candidatePpm } from "./routing-table.ts";
import { durationMs } from "./spec/duration.ts";
import { normaliseSpec, rolloutIdOf } from "./spec/normalise.ts";
import type { RolloutPlan } from "./spec/plan.ts";
import type { Problem } from "./spec/plan-problems.ts";
import { type Attempt, isRunning, type RouteState } from "./state.ts";
import { type Moment, publish, type Step, tell, unchanged } from "./step.ts";
import { driftProblem } from "./watch.ts";

/** Attempts of one version from this number on start only with an approval. */
const approvalWhy = (number: number) => `waits for an approval with a reason: it would be attempt ${number} of this version`;

/** Takes a declared spec: starts an attempt, or says precisely why not. That of the present attempt, declared again, does nothing. */
export function declare(state: RouteState, input: SpecInput, moment: Moment): Step {
  const { digest, spec } = input;
  if (state.current?.specDigest === digest || waitingOf(state.waiting).some((one) => one.digest === digest)) return unchanged(state);
  const { current } = state;
  if (isRunning(current) && spec?.onRunning === "edit") return declareEdit(state, current, { ...input, spec }, moment);
  const earlier = state.starts.find((start) => start.digest === digest);
  if (earlier !== undefined) return refuse(unchanged(state), input, moment, "spec_refused", [startedBefore(earlier)]);
  if (spec === null) return refuse(unchanged(state), input, moment, "spec_refused", input.problems);
  return begin(unchanged(state), { ...input, spec, approval: null }, moment);
}

/** A spec that fits its schema, declared now or earlier. */
interface Candidate extends Pick<SpecInput, "digest" | "actor" | "rubrics" | "gateways"> {
  readonly spec: RolloutSpec;
  /** Who approved its start, where that is needed. */
  readonly approval: Approval | null;
}

/** Starts a spec, or what it says for a route on which a rollout runs. */
function begin(before: Step, candidate: Candidate, moment: Moment): Step {
  const { state } = before;
  const { spec, digest, actor } = candidate;
  const { onRunning = "reject" } = spec;
  const running = isRunning(state.current) ? state.current : null;
  const normalised = planWithHoldback(spec, candidate.rubrics, callsPerMinute(state, durationMs(spec.pane ?? "60s")));
  if (normalised.kind === "refused") return refuse(before, candidate, moment, "spec_refused", said(normalised.problems));
  const { plan, notices } = normalised;
  if (running !== null && onRunning !== "queue" && onRunning !== "replace") {
    const { rollout } = running.plan;
    return refuse(before, candidate, moment, "spec_conflict", [
      `rollout ${rollout}, attempt ${running.attempt}, is running (${running.phase}): let it end, or roll it back, then apply again; or say what the spec does meanwhile with onRunning: queue, replace or edit`,
    ]);
  }
  const drifted = driftProblem(state);
  const lasting = [...(drifted === null ? [] : [drifted]), ...candidateProblems(state, plan, moment.deps), ...upstreamProblems(plan, candidate)];
  // The baseline of one that waits is what serves at its turn.
  const isQueued = running !== null && onRunning === "queue";
  const problems = [...(isQueued ? [] : servingProblems(state, plan, moment.deps)), ...lasting];
  const serving = state.serving ?? plan.baselineVersion;
  if (problems.length > 0 || serving === null) return refuse(before, candidate, moment, "spec_refused", problems);
  const own = { digest, actor, rubrics: candidate.rubrics, spec, atMs: moment.atMs, approval: candidate.approval, of: { rollout: "", attempt: 0 } };
  if (isQueued) {
    const why = `waits for its turn: ${running.plan.rollout} is running`;
    return keep(before, { ...own, how: "start", needs: "turn", why }, "queued", moment);
  }
  const number = countOf(state, plan).attempts + 1;
  if (number >= APPROVAL_FROM && candidate.approval === null) {
    return keep(before, { ...own, how: running === null ? "start" : "replace", needs: "approval", why: approvalWhy(number) }, "awaiting_approval", moment);
  }
  const crowded = withoutRoomToStart(state, plan, moment);
  if (crowded !== null) return refuse(before, candidate, moment, "exposure_cap", [crowded]);
  const cleared = running === null ? before : replaced(before, running, candidate, moment);
  return start(cleared, { plan, serving, specDigest: digest, ...startedBy(candidate, notices) }, moment);
}

function startedBy({ actor, approval }: Candidate, notices: readonly string[]): Pick<Start, "actor" | "why" | "notices"> {
  if (approval === null) return { actor, why: "", notices };
  const why = askedBy(actor, approval);
  return { actor: approval.actor, why, notices: [`approved by ${approval.actor}, ${why}`, ...notices] };
}

const askedBy = (actor: string, { reason }: Approval) => `asked for by ${actor}: ${reason}`;
const said = (problems: readonly Problem[]) => problems.map(({ path, message }) => `${path} ${message}`);

/** Without a shadow the first step is a step up like any other. */
export function withoutRoomToStart(state: RouteState, plan: RolloutPlan, { exposure }: Moment): string | null {
  if (plan.shadow !== null) return null;
  const phase = plan.ladder.length === 1 ? "observing" : "canary";
  return withoutRoom(exposure, callsPerMinute(state, plan.paneMs), candidatePpm({ plan, phase, step: 0 }));
}

/** The running rollout makes way for another. */
function replaced(before: Step, running: Attempt, { actor, spec }: Candidate, moment: Moment): Step {
  const message = `rolled back by ${actor}: ${rolloutIdOf(spec)} takes its place`;
  return publish(
    before,
    { ...before.state, current: rollBack(running, ["replaced"]) },
    { action: "rolled_back", reasons: ["replaced"], message, actor },
    moment,
  );
}

/** Keeps what cannot be done yet; the newest of its kind wins. */
export function keep(before: Step, one: Waiting, reason: Reason, moment: Moment): Step {
  const { state } = before;
  const earlier = state.waiting[slotOf(one)];
  const instead = earlier === null ? "" : `; it takes the place of what ${earlier.actor} asked for before`;
  const { actor } = one;
  const message = `the ${one.how === "retry" ? "retry" : `spec (${one.how})`} ${one.why}${instead}`;
  const about = namesOfWaiting(one);
  return tell(before, { ...state, waiting: put(state.waiting, one) }, { action: "held", reasons: [reason], message, actor, about }, moment);
}

/** Drops what waits in a place, with its event. */
export function withdraw(before: Step, slot: keyof WaitingSpecs, about: { readonly actor: string; readonly why: string }, moment: Moment): Step {
  const one = before.state.waiting[slot];
  if (one === null) return before;
  const after = { ...before.state, waiting: { ...before.state.waiting, [slot]: null } };
  const message = `the ${one.how} that ${one.actor} asked for is withdrawn${about.why}`;
  return tell(before, after, { action: "held", reasons: ["withdrawn"], message, actor: about.actor, about: namesOfWaiting(one) }, moment);
}

/** A change of the running rollout: at once, or after an approval when it makes anything easier for the candidate. */
function declareEdit(state: RouteState, running: Attempt, input: SpecInput & { readonly spec: RolloutSpec }, moment: Moment): Step {
  const before = unchanged(state);
  const normalised = normaliseSpec(withHoldbackOf(running, input.spec), input.rubrics);
  if (normalised.kind === "refused") return refuse(before, input, moment, "spec_refused", said(normalised.problems));
  const { plan } = normalised;
  const problems = [...editProblems(running, plan), ...candidateProblems(state, plan, moment.deps), ...servingProblems(state, plan, moment.deps)];
  if (problems.length > 0) return refuse(before, input, moment, plan.rollout === running.plan.rollout ? "spec_refused" : "spec_conflict", problems);
  const loosened = [...loosenings(running.plan, plan), ...weakened(running, plan)];
  if (loosened.length === 0) {
    const edited = edit(before, running, { plan, digest: input.digest, actor: input.actor, note: "" }, moment);
    // What waits for its approval was compared with another plan.
    return withdraw(edited, "edit", { actor: input.actor, why: ": a newer edit took effect" }, moment);
  }
  const { digest, actor, rubrics, spec } = input;
  const of = { rollout: running.plan.rollout, attempt: running.attempt };
  const why = `waits for an approval by somebody else, since it loosens ${loosened.join(", ")}`;
  const one: Waiting = { how: "edit", needs: "approval", digest, actor, atMs: moment.atMs, spec, rubrics, approval: null, why, of };
  return keep(before, one, "awaiting_approval", moment);
}

function edit(
  before: Step,
  running: Attempt,
  about: { readonly plan: RolloutPlan; readonly digest: string; readonly actor: string; readonly note: string },
  moment: Moment,
): Step {
  const after = applyEdit(before.state, running, about, moment.atMs);
  const isNew = (after.current?.edits ?? 0) > running.edits;
  const what = isNew ? "its margins, weights or alpha changed: evidence starts anew for panes that start from now on" : "its settings changed";
  const message = `edited by ${about.actor}${about.note}; ${what}`;
  const told = { action: "held", reasons: ["edited"], message, actor: about.actor } as const;
  return isTableEdited(running.plan, about.plan) ? publish(before, after, told, moment) : tell(before, after, told, moment);
}

/** An edit that names no holdback keeps the one that the volume asked for when the rollout started. */
const withHoldbackOf = ({ plan }: Attempt, spec: RolloutSpec): RolloutSpec => ({ ...spec, holdback: spec.holdback ?? plan.holdback.percent });

/** Carries out what waited for an approval. */
export function approved(before: Step, one: Waiting, approval: Approval, moment: Moment): Step {
  const { state } = before;
  const slot = slotOf(one);
  const freed: Step = { ...before, state: { ...state, waiting: { ...state.waiting, [slot]: null } } };
  const { current } = state;
  const why = askedBy(one.actor, approval);
  if (one.how === "retry") return retry(freed, { actor: approval.actor, why, note: `, ${why}` }, moment);
  if (one.spec === null) return freed;
  const candidate = { ...one, spec: one.spec, gateways: [], approval };
  if (one.how !== "edit") return begin(freed, candidate, moment);
  const normalised = normaliseSpec(current === null ? one.spec : withHoldbackOf(current, one.spec), one.rubrics);
  if (!isRunning(current) || normalised.kind === "refused") return refuse(freed, candidate, moment, "spec_refused", ["the rollout that it edits is over"]);
  const problems = editProblems(current, normalised.plan);
  if (problems.length > 0) return refuse(freed, candidate, moment, "spec_refused", problems);
  return edit(freed, current, { plan: normalised.plan, digest: one.digest, actor: approval.actor, note: `, ${why}` }, moment);
}

/** A new attempt of the newest rollout, with its plan. */
export function retry(before: Step, about: { readonly actor: string; readonly why: string; readonly note: string }, moment: Moment): Step {
  const { current, serving } = before.state;
  if (current === null || serving === null) return before;
  const { plan, specDigest } = current;
  return start(before, { plan, serving, specDigest, actor: about.actor, why: about.why, notices: [`a new attempt by ${about.actor}${about.note}`] }, moment);
}

/** Why a retry must wait for an approval; null: it need not. */
export function retryApproval(state: RouteState, plan: RolloutPlan): string | null {
  const number = countOf(state, plan).attempts + 1;
  return number >= APPROVAL_FROM ? approvalWhy(number) : null;
}

/** Gives what waits its turn, once no rollout runs; an edit of an attempt that is over is dropped. */
export function serveWaiting(before: Step, gateways: SpecInput["gateways"], moment: Moment): Step {
  const { state } = before;
  const { next, edit: change } = state.waiting;
  const running = isRunning(state.current) ? state.current : null;
  if (change !== null && (running === null || running.attempt !== change.of.attempt || running.plan.rollout !== change.of.rollout)) {
    return withdraw(before, "edit", { actor: "headgate", why: ": the attempt that it was for is over" }, moment);
  }
  if (next === null || next.needs !== "turn" || next.spec === null || running !== null || state.isBrakedByAll) return before;
  const freed: Step = { ...before, state: { ...state, waiting: { ...state.waiting, next: null } } };
  const normalised = normaliseSpec(next.spec, next.rubrics);
  // Without room it keeps its place, in silence: it said that it waits.
  if (normalised.kind === "plan" && withoutRoomToStart(state, normalised.plan, moment) !== null) return before;
  return begin(freed, { ...next, spec: next.spec, gateways }, moment);
}

function startedBefore({ rollout, attempt }: RouteState["starts"][number]): string {
  return `it was started before, as attempt ${attempt} of ${rollout}, and no spec is started twice: use retry for a new attempt of the newest rollout, or give this spec another id (or any other change)`;
}

export interface Start {
  readonly plan: RolloutPlan;
  readonly serving: ServedVersion;
  readonly specDigest: string;
  readonly actor: string;
  readonly why: string;
  readonly notices: readonly string[];
}

/** Begins an attempt and publishes its first table. Under a brake on all routes it is over at once; `retry` brings the next. */
export function start(before: Step, { plan, serving, specDigest, actor, why, notices }: Start, moment: Moment): Step {
  const begun = beginAttempt(before.state, plan, { specDigest, serving, atMs: moment.atMs, definitionOf: (version) => definitionOf(version, moment.deps) });
  const where = plan.shadow === null ? `at ${plan.ladder[0]?.percent} %` : "in shadow";
  const ancestors = ancestorsOf(before.state, plan);
  const history = ancestors.length === 0 ? [] : [`other candidates failed against this baseline before: ${ancestors.join(", ")}`];
  const message = [`${plan.candidate} starts ${where} against ${serving.name}`, ...notices, ...history].join("; ");
  const started = publish(before, begun, { action: "started", reasons: ["started"], message, actor, why }, moment);
  const attempt = started.state.current;
  if (!started.state.isBrakedByAll || attempt === null) return started;
  const over = { ...started.state, current: rollBack(attempt, ["brake"]) };
  return publish(started, over, { action: "rolled_back", reasons: ["brake"], message: "a brake on all routes is set: clear it, then retry" }, moment);
}

type Refused = Pick<SpecInput, "digest" | "actor" | "spec">;

function refuse(before: Step, { spec, digest, actor }: Refused, moment: Moment, reason: Reason, problems: readonly string[]): Step {
  const about = {
    rollout: spec === null ? "" : rolloutIdOf(spec),
    baseline: spec?.baseline ?? "",
    candidate: spec?.candidate ?? "",
    specDigest: digest,
  };
  const message = `the spec was not started: ${problems.join("; ")}`;
  return tell(before, before.state, { action: "held", reasons: [reason], message, actor, about }, moment);
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
function upstreamProblems(plan: RolloutPlan, { gateways }: Pick<SpecInput, "gateways">): string[] {
  const versions = [plan.candidateVersion, ...(plan.baselineVersion === null ? [] : [plan.baselineVersion])];
  return versions.flatMap(({ name, upstream }) => {
    const unaware = gateways.filter(({ upstreams }) => !upstreams.includes(upstream)).map(({ instance }) => instance);
    if (unaware.length === 0) return [];
    return [
      `versions["${name}"].upstream: ${upstream} is unknown to the live gateways ${unaware.join(", ")}: add it to their upstreams, or name one that they know`,
    ];
  });
}
