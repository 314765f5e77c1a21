import type { Missing, ReplayResult } from "../../domain/replay/replay.ts";
import type { TimelineRow } from "../../domain/replay/timeline.ts";
import type { WhatIfResult } from "../../domain/replay/what-if.ts";
import { type Cell, columns } from "../show/columns.ts";
import { plain, type Terminal } from "../terminal.ts";
import type { History } from "./history.ts";

const time = (atMs: number) => new Date(atMs).toISOString().replace(/\.000Z$/, "Z");
const count = (n: number) => n.toLocaleString("en-US");

/** The result of a replay, for people. */
export function showReplay(history: Pick<History, "route" | "from" | "partition">, result: ReplayResult): string {
  const { route, from } = history;
  const span = result.inputs === 0 ? "" : `, ${time(result.fromMs)} to ${time(result.toMs)}`;
  const compared = `${count(result.decisions)} ${result.decisions === 1 ? "decision" : "decisions"}`;
  const read = `${count(result.inputs)} evidence ${result.inputs === 1 ? "record" : "records"}${span}`;
  const lines: string[] = [];
  if (result.kind === "same") lines.push(`${plain(route)}: the same ${compared}, recomputed from ${read}`);
  if (result.kind === "different") {
    const { seq, offset, atMs, input, field, recorded, computed, message } = result.difference;
    lines.push(
      `${plain(route)}: the first difference is at evidence ${seq}${offset < 0 ? "" : `, offset ${offset}`} (${time(atMs)}); the ${compared} before it are the same`,
      `  input:    ${plain(input)}`,
      `  field:    ${field}`,
      `  recorded: ${plain(JSON.stringify(recorded) ?? "nothing")}`,
      `  computed: ${plain(JSON.stringify(computed) ?? "nothing")}`,
      `  ${plain(message)}`,
    );
  }
  if (result.kind === "incomplete") {
    lines.push(`${plain(route)}: a part of the history is not there any more; what can be recomputed of it: ${compared} the same, from ${read}`);
    for (const missing of result.missing) lines.push(`  missing: ${showMissing(missing, history)}`);
    if (result.missing.some(({ topic }) => topic === "evidence")) {
      lines.push(
        "  a state is the sum of all that came before: nothing behind a gap can be recomputed. Export histories before retention takes them:",
        `  headgate evidence export ${plain(route)} --out FILE`,
      );
    }
  }
  return [...lines, ...result.notes.map((text) => `  note: ${plain(text)}`), ...(result.kind === "same" ? [] : [`  read from ${plain(from)}`])].join("\n");
}

function showMissing({ topic, fromSeq, toSeq, fromOffset, toOffset }: Missing, { partition }: Pick<History, "partition">): string {
  const offsets = fromOffset < 0 ? "" : toOffset < 0 ? `, offsets from ${fromOffset}` : `, offsets ${fromOffset} to ${toOffset} of partition ${partition}`;
  const seqs = toSeq < fromSeq ? `evidence from ${fromSeq}` : `evidence ${fromSeq} to ${toSeq}`;
  return topic === "evidence" ? `${seqs}${offsets}` : `the gate events of ${seqs}`;
}

/** The two timelines side by side, with where they part. */
export function showWhatIf(result: WhatIfResult, terminal: Pick<Terminal, "isColored">): string {
  const { actual, other, divergedAtMs } = result;
  const rows = [...actual.map((row) => ({ row, isOther: false })), ...other.map((row) => ({ row, isOther: true }))].sort((a, b) => a.row.atMs - b.row.atMs);
  const table: (Cell | string)[][] = [["TIME", "AS DECIDED", "WITH THE OTHER SETTINGS"].map((text) => ({ text, tone: "dim" as const }))];
  let isParted = false;
  for (const [i, { row, isOther }] of rows.entries()) {
    const next = rows[i + 1];
    if (divergedAtMs !== null && !isParted && row.atMs >= divergedAtMs) {
      isParted = true;
      table.push([{ text: `── exact until ${time(divergedAtMs)}; below, what was recorded stands for what would have come`, isSentence: true, tone: "warn" }]);
    }
    const previous = rows[i - 1];
    if (previous !== undefined && pairs(previous, { row, isOther })) continue;
    const isPair = next !== undefined && pairs({ row, isOther }, next);
    const mine = cell(row);
    const theirs = isPair ? cell(next.row) : "";
    table.push([time(row.atMs), isOther ? theirs : mine, isOther ? mine : theirs]);
  }
  const end = ({ phase, step, message }: WhatIfResult["actualEnd"]) => `${phase}${step >= 0 ? `, step ${step + 1}` : ""}: ${plain(message)}`;
  return [
    `${plain(result.rollout)}, attempt ${result.attempt}: ${divergedAtMs === null ? "the two never part: every line is exact" : `the two part at ${time(divergedAtMs)}`}`,
    "",
    ...columns(table, terminal),
    "",
    `as decided:               ${end(result.actualEnd)}`,
    `with the other settings:  ${end(result.otherEnd)}`,
    ...result.notes.map((text) => `note: ${text}`),
  ].join("\n");
}

type Placed = { readonly row: TimelineRow; readonly isOther: boolean };
/** Two lines of the same moment stand in one row. */
const pairs = (one: Placed, other: Placed) => one.row.atMs === other.row.atMs && !one.isOther && other.isOther;
const cell = ({ action, phase, sharePct, reasons }: TimelineRow) => `${action} → ${phase} ${Number(sharePct.toFixed(2))} % [${reasons.join(", ")}]`;
