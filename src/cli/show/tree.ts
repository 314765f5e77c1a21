import type { AttemptRow, GateEvent } from "../../../topics/index.ts";
import type { SignalPicture } from "../../domain/replay/explanation.ts";
import type { RouteView } from "../../stages/6-control/route-view.ts";
import { showAge } from "../duration.ts";
import { plain } from "../terminal.ts";
import type { Cell } from "./columns.ts";
import { showCount, showDelta, showMargin, showValue, statusCell, verdictCell } from "./words.ts";

type Row = (Cell | string)[];
/** Evidence of now where control can give it, of the newest decision otherwise. */
type Shown = RouteView["signals"][number] & Partial<Pick<SignalPicture, "low" | "proof" | "alarm" | "isRequired">>;

export const treeHeader: readonly string[] = ["NAME", "KIND", "STATUS", "AGE", "BASELINE", "CANDIDATE", "DELTA (bound)", "MARGIN", "N", "VERDICT"];

/** A route with its attempts, the present one's signals, and their slices (peers.md section 3); earlier attempts in one line each. */
export function tree(view: RouteView, nowMs: number): Row[] {
  const root: Row = [`⟳ ${plain(view.route)}`, "rollout", statusCell(view), view.changedAtMs === 0 ? "" : showAge(nowMs - view.changedAtMs)];
  if (view.rollout === "") return [root];
  const earlier = earlierRows(view, nowMs);
  const { explanation } = view;
  const isLast = earlier.length === 0;
  const began = explanation?.attempt === view.attempt ? showAge(nowMs - explanation.startedAtMs) : "";
  const own: Row = [`${isLast ? "└" : "├"}──# attempt:${view.attempt}`, "attempt", ...(began === "" ? [] : ["", began])];
  return [root, own, ...signalRows(view, isLast ? "   " : "│  ", nowMs), ...earlier.map((row, i) => branch(row, i === earlier.length - 1))];
}

const branch = ([name, ...rest]: Row, isLast: boolean): Row => [`${isLast ? "└" : "├"}──${String(name)}`, ...rest];

/** Each signal, its slices below it. */
function signalRows(view: RouteView, stem: string, nowMs: number): Row[] {
  const { explanation } = view;
  const isNow = explanation != null && explanation.signals.length > 0;
  const all: readonly Shown[] = isNow ? explanation.signals : view.signals;
  const age = isNow ? "now" : showAge(nowMs - view.signalsAtMs);
  const keyOf = ({ signal, edition }: Shown) => `${signal}\u0000${edition}`;
  const groups = [...new Set(all.map(keyOf))].map((key) => all.filter((row) => keyOf(row) === key));
  return groups.flatMap((rows, i) => {
    const isLast = i === groups.length - 1;
    const head = rows.find(({ slice }) => slice === "all");
    const slices = rows.filter((row) => row !== head);
    const inner = `${stem}${isLast ? "   " : "│  "}`;
    const name = `${stem}${isLast ? "└" : "├"}──α ${signalName(rows[0])}`;
    // Slices without their signal can stand in an old event only.
    const first: Row = head === undefined ? [name] : signalRow(name, head, age);
    return [first, ...slices.map((slice, k) => signalRow(`${inner}${k === slices.length - 1 ? "└" : "├"}──σ ${plain(slice.slice)}`, slice, age))];
  });
}

function signalName(row: Shown | undefined): string {
  if (row === undefined) return "";
  return row.edition > 0 ? `${plain(row.signal)}, edition ${row.edition}` : plain(row.signal);
}

function signalRow(name: string, signal: Shown, age: string): Row {
  return [
    name,
    signal.tier,
    signalStatus(signal),
    age,
    showValue(signal.signal, signal.baselineValue),
    showValue(signal.signal, signal.candidateValue),
    showDelta(signal),
    showMargin(signal),
    `${showCount(signal.candidateN)}/${showCount(signal.baselineN)}`,
    verdictCell(signal.verdict),
  ];
}

/** How far the proof of safety is, where one is asked for; else whether users see what is measured. */
function signalStatus({ proof, exposure, verdict }: Shown): Cell | string {
  if (verdict === "breach") return { text: "✖ harm proven", tone: "bad" };
  if (proof == null) return exposure;
  return proof >= 1 ? { text: "✔ proven", tone: "good" } : `◌ proof ${Math.floor(100 * proof)} %`;
}

/** One line per earlier attempt, newest first: from its newest event, or from the ledger when that is not in control's memory. */
function earlierRows(view: RouteView, nowMs: number): Row[] {
  const told = new Set(view.earlier.map(({ rollout, attempt }) => `${rollout}\u0000${attempt}`));
  told.add(`${view.rollout}\u0000${view.attempt}`);
  const others = (view.explanation?.ledger ?? []).filter(({ rollout, attempt }) => !told.has(`${rollout}\u0000${attempt}`));
  const fromEvents = view.earlier.map((event) => ({ atMs: event.atMs, row: eventRow(event, view.rollout, nowMs) }));
  const fromLedger = others.map((row) => ({ atMs: row.startedAtMs, row: ledgerRow(row, view.rollout, nowMs) }));
  return [...fromEvents, ...fromLedger].sort((a, b) => b.atMs - a.atMs).map(({ row }) => row);
}

/** `# attempt:3`, with the rollout when it was another one. */
const attemptName = (rollout: string, attempt: number, present: string) => `# ${rollout === present ? "" : `${plain(rollout)} `}attempt:${attempt}`;

function eventRow(event: GateEvent, present: string, nowMs: number): Row {
  const status = statusCell({ phase: event.toPhase, condition: event.condition, braked: false });
  const where = event.fromPhase === "shadow" ? "in shadow, " : event.fromStep >= 0 ? `at step ${event.fromStep + 1}, ` : "";
  const about = `${event.message} (${where}${event.id})`;
  return [attemptName(event.rollout, event.attempt, present), "attempt", status, showAge(nowMs - event.atMs), { text: plain(about), isSentence: true }];
}

function ledgerRow(row: AttemptRow, present: string, nowMs: number): Row {
  const { rollout, attempt, startedAtMs, endedAtMs, end, endReasons, endedBy } = row;
  const status = end === "done" || end === "rolled_back" ? statusCell({ phase: end, condition: "progressing", braked: false }) : (end ?? "");
  const about = `${endReasons.join(", ")}${endedBy === "" ? "" : `, by ${endedBy}`}`;
  return [attemptName(rollout, attempt, present), "attempt", status, showAge(nowMs - (endedAtMs ?? startedAtMs)), { text: plain(about), isSentence: true }];
}
