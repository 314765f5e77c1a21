import type { GateEvent, SignalEvidence } from "../../../topics/index.ts";
import type { RouteView } from "../../stages/6-control/route-view.ts";
import { showAge } from "../duration.ts";
import { plain, type Terminal } from "../terminal.ts";
import { type Cell, columns, paint } from "./columns.ts";
import { showCount, showHarm, showMargin, showMessage, showStep, showValue, statusCell, trim, verdictCell } from "./words.ts";

const header = ["NAME", "KIND", "STATUS", "AGE", "GATE", "BASELINE", "CANDIDATE", "DELTA", "BOUND", "TOLERATED/LIMIT", "N", "VERDICT"];

/** A route as people read it: where it stands and what it waits for, then the tree of attempts and signals. */
export function showRoute(view: RouteView, at: { readonly nowMs: number; readonly terminal: Pick<Terminal, "isColored"> }): string {
  return [...facts(view, at), "", ...columns([header, ...tree(view, at.nowMs)], at.terminal)].join("\n");
}

function facts(view: RouteView, { nowMs, terminal }: { readonly nowMs: number; readonly terminal: Pick<Terminal, "isColored"> }): string[] {
  const status = statusCell(view);
  const measured = view.measuredSharePct === null ? "" : `  (measured ${trim(Number(view.measuredSharePct.toFixed(1)))} %)`;
  const { obeyed, live, gateways } = view.gateways;
  const behind = gateways.filter((gateway) => !gateway.obeys).map((gateway) => `${plain(gateway.instance)} at ${gateway.epoch}`);
  const rows: [string, string][] = [
    ["Name", view.route],
    ["Status", paint(status.text, status.tone, terminal)],
    ["Message", showMessage(view)],
    ["Rollout", view.rollout === "" ? "none" : `${view.rollout}, attempt ${view.attempt}`],
    ["  Step", showStep(view)],
    ["  Share", `${trim(view.sharePct)} %${measured}`],
    ["Versions", `${view.candidate} (candidate)`],
    ["", `${view.baseline} (baseline)`],
    ["Gateways", `${obeyed} of ${live} obey epoch ${view.epoch}${behind.length === 0 ? "" : `; not yet: ${behind.join(", ")}`}`],
  ];
  if (view.state !== null && view.state.waiting !== "") rows.push(["Waiting", view.state.waiting]);
  if (view.brake !== null) {
    const { route, actor, reason, atMs } = view.brake;
    rows.push([
      "Brake",
      `${route === "*" ? "all routes" : `attempt ${view.attempt}`}, by ${actor} ${showAge(nowMs - atMs)} ago${reason === "" ? "" : `: ${reason}`}`,
    ]);
  }
  return rows.map(([name, value]) => `${(name === "" ? "" : `${name}:`).padEnd(17)}${name === "Status" ? value : plain(value)}`);
}

function tree(view: RouteView, nowMs: number): (Cell | string)[][] {
  const root = [`⟳ ${plain(view.route)}`, "rollout", statusCell(view), view.changedAtMs === 0 ? "" : showAge(nowMs - view.changedAtMs)];
  if (view.rollout === "") return [root];
  const isLast = view.earlier.length === 0;
  const own = [`${isLast ? "└" : "├"}──# attempt:${view.attempt}`, "attempt"];
  const stem = isLast ? "   " : "│  ";
  const signals = view.signals.map((signal, i) => {
    const name = `${stem}${i === view.signals.length - 1 ? "└" : "├"}──α ${plain(signal.signal)}${signal.slice === "all" ? "" : ` [${plain(signal.slice)}]`}`;
    return signalRow(name, signal, showAge(nowMs - view.signalsAtMs));
  });
  const earlier = view.earlier.map((event, i) => earlierRow(event, i === view.earlier.length - 1, nowMs));
  return [root, own, ...signals, ...earlier];
}

function signalRow(name: string, signal: SignalEvidence, age: string): (Cell | string)[] {
  return [
    name,
    signal.tier,
    signal.exposure,
    age,
    signal.gate,
    showValue(signal.signal, signal.baselineValue),
    showValue(signal.signal, signal.candidateValue),
    showHarm(signal.delta, signal),
    signal.bound === null ? "-" : showHarm(signal.bound, signal),
    showMargin(signal),
    `${showCount(signal.candidateN)}/${showCount(signal.baselineN)}`,
    verdictCell(signal.verdict),
  ];
}

function earlierRow(event: GateEvent, isLast: boolean, nowMs: number): (Cell | string)[] {
  const status = statusCell({ phase: event.toPhase, condition: event.condition, braked: false });
  return [
    `${isLast ? "└" : "├"}──# attempt:${event.attempt}`,
    "attempt",
    status,
    showAge(nowMs - event.atMs),
    { text: plain(`${event.message} (${event.id})`), isSentence: true },
  ];
}
