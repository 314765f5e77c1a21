import { type Explanation, explain } from "../../domain/replay/explanation.ts";
import { type RouteState, STATE_LAYOUT } from "../../domain/rollout/state.ts";
import type { Views } from "./views.ts";

/** Why a route is where it is, from the decider's own state as it was published last. Null: no attempt, or another layout of the state. */
export function explained({ states }: Pick<Views, "states">, route: string, nowMs: number): Explanation | null {
  const entry = states.get(route);
  if (entry === undefined || entry.layout !== STATE_LAYOUT || entry.state === "") return null;
  const state = JSON.parse(entry.state) as RouteState;
  return explain(state, Math.max(nowMs, state.atMs));
}
