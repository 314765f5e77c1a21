import type { RouteView } from "../../stages/6-control/route-view.ts";
import { showAge } from "../duration.ts";
import { plain, type Terminal } from "../terminal.ts";
import { columns, paint } from "./columns.ts";
import { nextEvent } from "./next-event.ts";
import { tree, treeHeader } from "./tree.ts";
import { isOver, showMessage, showStep, statusCell, trim } from "./words.ts";

/** A route as people read it: where it stands and what it waits for, then the tree of attempts and signals. */
export function showRoute(view: RouteView, at: { readonly nowMs: number; readonly terminal: Pick<Terminal, "isColored"> }): string {
  return [...facts(view, at), "", ...columns([treeHeader, ...tree(view, at.nowMs)], at.terminal)].join("\n");
}

function facts(view: RouteView, { nowMs, terminal }: { readonly nowMs: number; readonly terminal: Pick<Terminal, "isColored"> }): string[] {
  const status = statusCell(view);
  const measured = view.measuredSharePct === null ? "" : `  (measured ${trim(Number(view.measuredSharePct.toFixed(1)))} %)`;
  const { obeyed, live, gateways } = view.gateways;
  const behind = gateways.filter((gateway) => !gateway.obeys).map((gateway) => `${plain(gateway.instance)} at ${gateway.epoch}`);
  // A brake of a gateway's own port, which the decider may not have heard of: such a gateway obeys and serves none of the share.
  const braked = isOver(view.phase) ? [] : gateways.filter((gateway) => gateway.braked).map(({ instance }) => plain(instance));
  const rows: [string, string][] = [
    ["Name", view.route],
    ["Status", paint(status.text, status.tone, terminal)],
    ["Message", showMessage(view)],
    ...(view.explanation == null ? [] : [["Next", nextEvent(view.explanation)] as [string, string]]),
    ["Rollout", view.rollout === "" ? "none" : `${view.rollout}, attempt ${view.attempt}`],
    ["  Step", showStep(view)],
    ["  Share", `${trim(view.sharePct)} %${measured}`],
    ["Versions", `${view.candidate} (candidate)`],
    ["", `${view.baseline} (baseline)`],
    ["Gateways", `${obeyed} of ${live} obey epoch ${view.epoch}${named("not yet", behind)}${named("braked", braked)}`],
  ];
  if (view.state !== null && view.state.waiting !== "") rows.push(["Waiting", view.state.waiting]);
  const watch = view.state?.watch;
  if (watch) rows.push(["Watch", `${watch.message}${watch.sinceMs === 0 ? "" : `, for ${showAge(nowMs - watch.sinceMs)}`}`]);
  if (view.brake !== null) {
    const { route, actor, reason, atMs } = view.brake;
    rows.push([
      "Brake",
      `${route === "*" ? "all routes" : `attempt ${view.attempt}`}, by ${actor} ${showAge(nowMs - atMs)} ago${reason === "" ? "" : `: ${reason}`}`,
    ]);
  }
  return rows.map(([name, value]) => `${(name === "" ? "" : `${name}:`).padEnd(17)}${name === "Status" ? value : plain(value)}`);
}

const named = (what: string, names: readonly string[]): string => (names.length === 0 ? "" : `; ${what}: ${names.join(", ")}`);
