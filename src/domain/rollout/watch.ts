import { feedRun, type Run, runLogM } from "../drift/detector.ts";
import { goldenVerdict, takeGolden } from "../drift/golden.ts";
import { addPane, isAnyEnough, isEnough, newProfile, type Profile, takeProfile } from "../drift/profile.ts";
import { type Alarm, alarmBound, profileOf, type WatchState, withProfile } from "../drift/watch-state.ts";
import { watchedSignals } from "../drift/watched.ts";
import { canonicalJson } from "./canonical-json.ts";
import type { Block, PaneInput } from "./input.ts";
import { rollBack } from "./phases.ts";
import { callsPerMinute, samplePpmOf } from "./routing-table.ts";
import { type Attempt, isRunning, type RouteState } from "./state.ts";
import { type Moment, publish, publishRates, type Step, tell } from "./step.ts";
import { driftRows } from "./watch-rows.ts";

/**
 * The always-on drift watch of a route (DESIGN.md section 6, statistics.md section 1.6): what serves is compared with its own past, frozen
 * when it was known to be good. Runs beside a rollout, and alone when none runs.
 *
 * | reference | the other witness | what follows |
 * |---|---|---|
 * | alarm | none, or golden prompts pass | page: event `drifted`; new rollouts wait for an operator |
 * | alarm | golden prompts fail too (no rollout runs, so there is no holdback) | reroute to the fallback at once |
 * | alarm while observing | the holdback too: the rollout is frozen for a breach | roll back at once |
 * | no alarm | golden prompts fail | nothing yet: shown with the next event |
 */

/** Versions whose profile is kept. */
function wantedVersions({ serving, fallback, current }: RouteState): string[] {
  const candidate = isRunning(current) ? [current.plan.candidate] : [];
  return [serving?.name, fallback?.name, ...candidate].filter((name) => name !== undefined);
}

/** Calls of a version that users saw, counted over all traffic: of the attempt, or of no rollout. */
function blocksOf(version: string, attempt: Attempt, blocks: readonly Block[]): Block[] {
  const { rollout } = attempt.plan;
  return blocks.filter(
    (block) => block.version === version && block.exposure === "served" && block.slice === "all" && (block.rollout === "" || block.rollout === rollout),
  );
}

/** Takes a closed pane into the watch. Total: what cannot be evaluated is told once, and changes nothing. */
export function watchPane(before: Step, input: PaneInput, moment: Moment): Step {
  const attempt = before.state.current;
  if (attempt === null || !attempt.plan.drift.isOn || input.round > 0) return before;
  try {
    const taken = withReferences(before, attempt, input, moment);
    return react(withEvidence(taken, attempt, input), moment);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    if (before.state.watch.error !== null) return before;
    const state = { ...before.state, watch: { ...before.state.watch, error: what } };
    const told = { action: "held", reasons: ["evaluation_error"], message: `the drift watch could not evaluate a pane: ${what}` } as const;
    return tell(before, state, { ...told, about: aboutOf(attempt) }, moment);
  }
}

/** An event about the route and not about the attempt: its message and reasons stay what they are. */
const aboutOf = ({ plan, specDigest }: Attempt) => ({ rollout: plan.rollout, baseline: plan.baseline, candidate: plan.candidate, specDigest });

/** The version whose profile is taken now, beside the one that serves: the candidate, once it serves everybody. */
function takenVersions({ serving }: RouteState, attempt: Attempt): string[] {
  const own = serving === null ? [] : [serving.name];
  return attempt.phase === "observing" ? [...own, attempt.plan.candidate] : own;
}

function withReferences(before: Step, attempt: Attempt, { blocks, paneStartMs, paneMs }: PaneInput, moment: Moment): Step {
  let step = before;
  for (const version of takenVersions(before.state, attempt)) {
    const { watch } = step.state;
    const known = profileOf(watch, version) ?? newProfile(version, watchedSignals(attempt.plan.signals));
    if (known.takenAtMs !== null) continue;
    const pane = { startMs: paneStartMs, endMs: paneStartMs + paneMs, need: attempt.plan.drift.minRecords };
    const profile = addPane(known, blocksOf(version, attempt, blocks), pane);
    if (profile !== known) step = { ...step, state: { ...step.state, watch: withProfile(watch, profile, wantedVersions(step.state)) } };
    const isOfAttempt = blocks.some(({ rollout }) => rollout === attempt.plan.rollout);
    step = takenWhenDue(step, profile, { attempt, isOfAttempt }, moment);
  }
  return step;
}

/** How much longer than planned a reference is taken for the sake of its scarcest signal. */
const MOST_PATIENCE = 3;

/** After its time, as soon as every signal has enough: a signal that has too few then would never act. One that stays scarce holds it up to three times as long. */
function isDue(profile: Profile, { referenceMs, minRecords }: Attempt["plan"]["drift"]): boolean {
  const tookMs = profile.toMs - profile.fromMs;
  if (tookMs < referenceMs) return false;
  return isEnough(profile, minRecords) || (tookMs >= MOST_PATIENCE * referenceMs && isAnyEnough(profile, minRecords));
}

/** A reference is frozen after its time; that of a candidate with `done`, if it was observed for long enough. */
function takenWhenDue(
  before: Step,
  profile: Profile,
  { attempt, isOfAttempt }: { readonly attempt: Attempt; readonly isOfAttempt: boolean },
  moment: Moment,
): Step {
  const { serving } = before.state;
  const { drift, candidate } = attempt.plan;
  if (profile.version !== serving?.name) return before;
  const isAtDone = attempt.phase === "done" && isOfAttempt && profile.version === candidate && isEnough(profile, drift.minRecords);
  if (!(isAtDone || isDue(profile, drift))) return before;
  const taken = takeProfile(profile, moment.atMs, drift.minRecords);
  const { watch } = before.state;
  const golden = watch.golden?.version === profile.version ? takeGolden(watch.golden) : watch.golden;
  const state = { ...before.state, watch: { ...withProfile(watch, taken, wantedVersions(before.state)), golden, run: null } };
  const only = taken.signals.filter(({ bounds }) => bounds === null).map(({ signal }) => signal.name);
  const short = only.length === 0 ? "" : `; too few records to act on: ${only.join(", ")}`;
  const message = `the reference of ${profile.version} is taken: it is watched for drift from now on${short}`;
  // That of a candidate that was observed is part of `done`, whose event tells it.
  if (isAtDone) return { ...before, state };
  return tell(before, state, { action: "held", reasons: ["reference_taken"], message, about: aboutOf(attempt) }, moment);
}

/** What is watched now, and against which profile. */
function watchedNow(
  { serving, watch }: RouteState,
  attempt: Attempt,
): { readonly version: string; readonly profile: Profile; readonly attempt: number } | null {
  if (serving === null) return null;
  const profile = profileOf(watch, serving.name);
  if (profile === null || profile.takenAtMs === null) return null;
  if (!isRunning(attempt)) return { version: serving.name, profile, attempt: 0 };
  return attempt.phase === "observing" ? { version: attempt.plan.candidate, profile, attempt: attempt.attempt } : null;
}

function withEvidence(before: Step, attempt: Attempt, { blocks, paneStartMs }: PaneInput): Step {
  const now = watchedNow(before.state, attempt);
  if (now === null) return before;
  const { version, profile } = now;
  const takenAtMs = profile.takenAtMs ?? 0;
  // What ended before the reference was taken is part of it.
  const mine = paneStartMs < profile.toMs && version === profile.version ? [] : blocksOf(version, attempt, blocks);
  if (mine.length === 0) return before;
  const { watch } = before.state;
  const isSame =
    watch.run?.version === version && watch.run.reference === profile.version && watch.run.takenAtMs === takenAtMs && watch.run.attempt === now.attempt;
  const run: Run = isSame && watch.run !== null ? watch.run : { version, reference: profile.version, takenAtMs, attempt: now.attempt, detectors: {} };
  const fed = feedRun(run, profile, mine, { startMs: paneStartMs, blockMs: attempt.plan.drift.blockMs });
  return { ...before, state: { ...before.state, watch: { ...watch, run: fed } } };
}

/** Acts on what the detectors and the golden prompts say: at most one decision. */
export function react(before: Step, moment: Moment): Step {
  const { state } = before;
  const attempt = state.current;
  if (attempt === null || state.serving === null) return before;
  const { alarm } = state.watch;
  const raised = alarmOf(state, attempt, moment);
  if (raised === null) {
    if (alarm === null) return before;
    if (isRunning(attempt)) return alarm.attempt === attempt.attempt ? rollBackObserved(before, attempt, alarm, moment) : before;
    return reroute(before, attempt, alarm, moment);
  }
  const alarmed: Step = { ...before, state: { ...state, watch: { ...state.watch, alarm: raised } } };
  const rerouted = isRunning(attempt) ? rollBackObserved(alarmed, attempt, raised, moment) : reroute(alarmed, attempt, raised, moment);
  if (rerouted !== alarmed) return rerouted;
  const rows = driftRows(state.watch, attempt);
  return tell(before, alarmed.state, { action: "drifted", reasons: ["drifted"], message: raised.message, rows, about: aboutOf(attempt) }, moment);
}

/** A new alarm: the evidence has reached its bound, and this version has none yet. */
function alarmOf({ watch }: RouteState, attempt: Attempt, { atMs }: Moment): Alarm | null {
  const { run, alarm, golden } = watch;
  const profile = run === null ? null : profileOf(watch, run.reference);
  if (run === null || profile === null || run.attempt !== (isRunning(attempt) ? attempt.attempt : 0)) return null;
  if (alarm !== null && alarm.version === run.version) return null;
  const logM = runLogM(run, profile);
  if (logM === null || logM < alarmBound(attempt.plan.drift, run.attempt === 0 ? null : attempt.plan.observationMs)) return null;
  const against = run.version === run.reference ? "its own reference" : `the reference of ${run.reference}`;
  const verdict = goldenVerdict(golden, run.version);
  const prompts = verdict === "unknown" ? "no golden prompts tell whether the version or the traffic changed" : `golden prompts are ${verdict}`;
  const message = `${run.version} has drifted from ${against}; ${prompts}; new rollouts wait until the baseline is captured anew or the alarm is cleared`;
  return { version: run.version, atMs, attempt: run.attempt, message, reroutedTo: alarm?.reroutedTo ?? null, isStranded: false };
}

/** Reference and holdback together: the candidate is rolled back at once. */
function rollBackObserved(before: Step, attempt: Attempt, alarm: Alarm, moment: Moment): Step {
  if (attempt.phase !== "observing" || attempt.frozen?.cause !== "breach") return before;
  const rows = driftRows(before.state.watch, attempt);
  const message = `${alarm.version} is worse than the holdback and has drifted from the reference: rolled back at once`;
  const state = { ...before.state, current: rollBack(attempt, ["drifted"]), watch: { ...before.state.watch, alarm: null } };
  return publish(before, state, { action: "rolled_back", reasons: ["drifted", "signal_breach"], message, rows }, moment);
}

/** Reference and golden prompts together: the fallback serves at once. Only once per alarm, so that nothing flaps. */
function reroute(before: Step, attempt: Attempt, alarm: Alarm, moment: Moment): Step {
  const { state } = before;
  const { serving, fallback, watch } = state;
  if (serving === null || alarm.version !== serving.name || alarm.reroutedTo !== null) return before;
  if (goldenVerdict(watch.golden, serving.name) !== "failing") return before;
  const rows = driftRows(watch, attempt);
  if (fallback === null) {
    if (alarm.isStranded) return before;
    const stranded = { ...state, watch: { ...watch, alarm: { ...alarm, isStranded: true } } };
    const message = `${alarm.message}; golden prompts fail too, and there is no fallback to go to`;
    return tell(before, stranded, { action: "drifted", reasons: ["drifted", "no_fallback"], message, rows, about: aboutOf(attempt) }, moment);
  }
  const isItsOwn = attempt.phase === "done" && attempt.plan.candidate === serving.name;
  const after: RouteState = {
    ...state,
    serving: fallback,
    // One `undo` away, should the operator know better.
    fallback: serving,
    fallbackUntilMs: moment.atMs + attempt.plan.fallbackMs,
    current: isItsOwn ? rollBack(attempt, ["rerouted"]) : { ...attempt, reasons: ["rerouted"] },
    watch: { ...watch, run: null, alarm: { ...alarm, reroutedTo: fallback.name } },
  };
  const message = `${serving.name} has drifted from its reference and fails its golden prompts: ${fallback.name} serves instead`;
  return publish(before, after, { action: "drifted", reasons: ["drifted", "rerouted"], message, rows }, moment);
}

/** Why no rollout starts on a route; null: nothing in the way. */
export function driftProblem({ watch, serving }: Pick<RouteState, "watch" | "serving">): string | null {
  const { alarm } = watch;
  if (alarm === null || serving === null || (alarm.version !== serving.name && alarm.reroutedTo !== serving.name)) return null;
  return `the route has drifted (${alarm.version}), so that nothing can be compared with it: headgate baseline capture ROUTE, or headgate baseline clear ROUTE, then apply again`;
}

/** How much of the rate of calls is kept with each pane, as while a rollout runs. */
const RATE_KEPT = 0.9;
/** Rates are set anew when the traffic differs by this factor, and not before so many panes. */
const RATE_FACTOR = 1.5;
const RATE_PANES = 10;
/** Every call has a latency. */
const EVERY_CALL = "latency_p95";

/** Follows the traffic of a route without a rollout, and keeps the judge within its budget. */
export function followTraffic(before: Step, input: PaneInput, moment: Moment): Step {
  const { state } = before;
  const attempt = state.current;
  if (attempt === null || input.group !== "calls" || input.round > 0) return before;
  const seen = input.blocks.reduce(
    (sum, { signal, slice, exposure, records }) => sum + (signal === EVERY_CALL && slice === "all" && exposure === "served" ? records : 0),
    0,
  );
  const callRate = { calls: state.callRate.calls * RATE_KEPT + seen, ms: state.callRate.ms * RATE_KEPT + input.paneMs };
  const rated: Step = { ...before, state: { ...state, callRate } };
  const { paneMs } = attempt.plan;
  const [now, { callsPerMinute: then, atMs, ppm }] = [callsPerMinute(rated.state, paneMs), state.sampling];
  if (now === null || now === 0 || canonicalJson(samplePpmOf(rated.state, attempt)) === canonicalJson(ppm)) return rated;
  const isOff = then === null || (moment.atMs - atMs >= RATE_PANES * paneMs && (now > then * RATE_FACTOR || now * RATE_FACTOR < then));
  return isOff ? publishRates(rated, attempt, moment) : rated;
}

/** Records of a pane that the watch of a route without a rollout needs, so that its journal stays small; null: none. */
export function forWatch(state: RouteState, input: PaneInput): PaneInput | null {
  const { current, serving, watch } = state;
  if (current === null || serving === null || !current.plan.drift.isOn || input.round > 0) return null;
  const profile = profileOf(watch, serving.name);
  const isTaken = profile !== null && profile.takenAtMs !== null;
  const signals = new Map((profile?.signals ?? newProfile(serving.name, watchedSignals(current.plan.signals)).signals).map((one) => [one.signal.name, one]));
  const blocks = blocksOf(serving.name, current, input.blocks).flatMap((block): Block[] => {
    const one = signals.get(block.signal);
    if (one === undefined && block.signal !== EVERY_CALL) return [];
    const plain = { ...block, newSubjects: null };
    if (one === undefined) return [{ ...plain, scored: 0, values: [], counts: [], subjectCounts: [], subjectSums: [] }];
    if (!isTaken) return [plain];
    return [{ ...plain, subjectCounts: [], subjectSums: [] }];
  });
  return blocks.length === 0 ? null : { ...input, blocks };
}

/** The watch after an operator's word. */
export function forgetAlarm(watch: WatchState): WatchState {
  return { ...watch, alarm: null, run: null, error: null };
}
