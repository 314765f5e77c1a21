import { goldenVerdict } from "../drift/golden.ts";
import { profileOf } from "../drift/watch-state.ts";
import type { RouteState } from "./state.ts";

/** Where the drift watch of a route stands, for others to read. */
export interface WatchSaid {
  /** Version that serves and is watched. */
  readonly version: string;
  /** `taking`: its reference is being taken, nothing can be detected yet; `watched`; `drifted`: an alarm stands. */
  readonly standing: "taking" | "watched" | "drifted";
  /** Start of that, epoch ms; 0: no call was seen yet. */
  readonly sinceMs: number;
  /** Golden prompts: none were run; their reference is being taken; or how they are. */
  readonly golden: "none" | "taking" | "passing" | "failing";
  readonly message: string;
}

/** What the drift watch of a route is doing; null when nothing is watched: no rollout yet, or `drift: off`. */
export function watchSaid(state: Pick<RouteState, "current" | "serving" | "watch">): WatchSaid | null {
  const { current, serving, watch } = state;
  if (current === null || serving === null || !current.plan.drift.isOn) return null;
  const golden = goldenSaid(state, serving.name);
  const { alarm } = watch;
  const about = { version: serving.name, golden };
  if (alarm !== null) return { ...about, standing: "drifted", sinceMs: alarm.atMs, message: alarm.message };
  const profile = profileOf(watch, serving.name);
  const prompts = golden === "none" ? "" : `; golden prompts: ${golden === "taking" ? "reference being taken" : golden}`;
  if (profile === null || profile.takenAtMs === null) {
    const hours = Math.round((current.plan.drift.referenceMs / 3_600_000) * 100) / 100;
    const message = `the reference of ${serving.name} is being taken, for ${hours} h of calls without a rollout${prompts}`;
    return { ...about, standing: "taking", sinceMs: profile?.fromMs ?? 0, message };
  }
  const acting = profile.signals.filter(({ bounds }) => bounds !== null).length;
  const message = `${serving.name} is watched against its reference, ${acting} of ${profile.signals.length} signals${prompts}`;
  return { ...about, standing: "watched", sinceMs: profile.takenAtMs, message };
}

function goldenSaid({ watch: { golden } }: Pick<RouteState, "watch">, version: string): WatchSaid["golden"] {
  if (golden === null || golden.version !== version || golden.n === 0) return "none";
  if (golden.bound === null) return "taking";
  const verdict = goldenVerdict(golden, version);
  return verdict === "failing" ? "failing" : "passing";
}
