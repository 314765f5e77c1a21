import type { RouteSummary } from "../../stages/6-control/route-view.ts";
import { showAge } from "../duration.ts";
import { plain, type Terminal } from "../terminal.ts";
import { columns } from "./columns.ts";
import { showMessage, showStep, statusCell, trim } from "./words.ts";

/** All routes, one line each. */
export function showList(rollouts: readonly RouteSummary[], at: { readonly nowMs: number; readonly terminal: Pick<Terminal, "isColored"> }): string {
  if (rollouts.length === 0) return "no routes yet: headgate rollout apply -f spec.yaml";
  const rows = rollouts.map((route) => [
    plain(route.route),
    statusCell(route),
    showStep(route).split("  ")[0] ?? "",
    `${trim(route.sharePct)} %`,
    plain(route.candidate),
    `${route.gateways.obeyed}/${route.gateways.live}`,
    route.changedAtMs === 0 ? "-" : showAge(at.nowMs - route.changedAtMs),
    showMessage(route),
  ]);
  return columns([["NAME", "STATUS", "STEP", "SHARE", "CANDIDATE", "OBEYED", "CHANGED", "MESSAGE"], ...rows], at.terminal).join("\n");
}

/** One line that changes when the standing of a route does. */
export function showStatusLine(
  route: Pick<RouteSummary, "route" | "phase" | "condition" | "braked" | "step" | "ladder" | "sharePct" | "reasons" | "message">,
): string {
  const step = showStep(route).split("  ")[0] ?? "";
  return `${plain(route.route)}  ${statusCell(route).text}  step ${step}  ${trim(route.sharePct)} %  ${showMessage(route)}`;
}
