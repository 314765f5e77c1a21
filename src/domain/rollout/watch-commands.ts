import { addRun, newGolden, PROBER, takeGolden } from "../drift/golden.ts";
import { newProfile } from "../drift/profile.ts";
import { profileOf, withProfile } from "../drift/watch-state.ts";
import { watchedSignals } from "../drift/watched.ts";
import type { CommandInput } from "./input.ts";
import { isRunning, type RouteState } from "./state.ts";
import { type Moment, type Step, tell } from "./step.ts";
import { forgetAlarm, react } from "./watch.ts";

type Command = CommandInput["command"];
type WatchVerb = "capture" | "clear" | "probed";

export const isWatchVerb = (verb: Command["verb"]): verb is WatchVerb => verb === "capture" || verb === "clear" || verb === "probed";

/** Why a command about the watch cannot be carried out now; null when it can. */
export function watchRefusal({ current, serving, watch }: RouteState, { verb, actor, probe }: Command): string | null {
  if (current === null || serving === null) return "no rollout was ever started on this route: there is no spec that says what to watch";
  if (!current.plan.drift.isOn) return "the newest spec of the route says `drift: off`";
  if (verb === "probed") {
    if (actor !== PROBER) return `results of golden prompts are taken from ${PROBER} only`;
    return probe ? null : "it carries no result";
  }
  if (isRunning(current)) return "a rollout is running: its baseline stays what it is compared with; let it end first";
  return verb === "clear" && watch.alarm === null ? "there is no alarm to clear" : null;
}

/** Carries out a command about the watch that was not refused. */
export function obeyWatch(before: Step, command: Command, moment: Moment): Step {
  const { state } = before;
  const { current, serving } = state;
  if (current === null || serving === null) return before;
  if (command.verb === "probed") return takeProbe(before, command, moment);
  const because = command.reason === "" ? "" : `: ${command.reason}`;
  const told = { action: "held", reasons: ["operator"], actor: command.actor } as const;
  if (command.verb === "clear") {
    const message = `the drift alarm is cleared by ${command.actor}${because}; ${serving.name} is watched against the same reference as before`;
    return tell(before, { ...state, watch: forgetAlarm(state.watch) }, { ...told, message }, moment);
  }
  const profile = newProfile(serving.name, watchedSignals(current.plan.signals));
  const watch = { ...withProfile(forgetAlarm(state.watch), profile, [serving.name, state.fallback?.name ?? ""]), golden: newGolden(serving.name) };
  const hours = current.plan.drift.referenceMs / 3_600_000;
  const message = `a new reference of ${serving.name} is taken from now on, for ${Math.round(hours * 100) / 100} h, by ${command.actor}${because}`;
  return tell(before, { ...state, watch }, { ...told, message }, moment);
}

/** A run of the golden prompts. Only of what serves, while no rollout runs; a repeat is known by its time. */
function takeProbe(before: Step, { probe, atMs }: Command, moment: Moment): Step {
  const { state } = before;
  const { serving, watch, current } = state;
  if (!probe || serving === null || probe.version !== serving.name || probe.passed + probe.failed === 0 || isRunning(current)) return before;
  const known = watch.golden?.version === serving.name ? watch.golden : startOf(state, serving.name);
  if (known === null || atMs <= known.lastAtMs) return before;
  const run = addRun(known, { ...probe, atMs });
  // While the version's own reference is taken, so is that of the prompts; later runs of a version that was never probed need a few of their own.
  const isLate = profileOf(watch, serving.name)?.takenAtMs != null;
  const golden = isLate && run.runs >= LATE_REFERENCE_RUNS ? takeGolden(run) : run;
  return react({ ...before, state: { ...state, watch: { ...watch, golden } } }, moment);
}

/** Runs that are the reference of golden prompts whose version is watched already: after `done`, since nobody probes while a rollout runs. */
const LATE_REFERENCE_RUNS = 10;

/** A version that has drifted already cannot say any more what its prompts were like before. */
function startOf({ watch }: RouteState, version: string) {
  return watch.alarm?.version === version ? null : newGolden(version);
}
