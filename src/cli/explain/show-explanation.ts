import type { Explanation, SignalPicture } from "../../domain/replay/explanation.ts";
import { showDuration } from "../../domain/rollout/spec/duration.ts";
import { type Cell, columns, paint } from "../show/columns.ts";
import { nextLine, showExpected } from "../show/next-event.ts";
import { showCount, showDelta, showMargin, showStep, statusCell, trim, verdictCell } from "../show/words.ts";
import { plain, type Terminal } from "../terminal.ts";
import { bar, picture } from "./picture.ts";

/** Why a rollout is where it is, for people. `width` in letters. */
export function showExplanation(found: Explanation, about: { readonly terminal: Pick<Terminal, "isColored">; readonly width: number }): string {
  const { terminal, width } = about;
  const status = statusCell({ phase: found.phase, condition: found.condition, braked: false });
  const rows: [string, string][] = [
    ["Name", plain(found.route)],
    ["Rollout", `${plain(found.rollout)}, attempt ${found.attempt}: ${plain(found.candidate)} against ${plain(found.baseline)}`],
    ["Status", `${paint(status.text, status.tone, terminal)}, step ${showStep(found)}, ${trim(found.sharePct)} % of subjects`],
    ["", `at ${new Date(found.atMs).toISOString()}, in this step for ${showDuration(found.atMs - found.stepSinceMs)}`],
    ["Why", [found.now.reasons.join(", "), plain(found.now.message)].filter((part) => part !== "").join(": ")],
    ...found.gates.map(({ gate, verdict, message }): [string, string] => [`  ${gate}`, message === "" ? verdict : `${verdict}: ${plain(message)}`]),
    ["Next", nextLine(found)],
  ];
  const lines = rows.map(([name, value]) => `${(name === "" ? "" : `${name}:`).padEnd(14)}${value}`);
  const waits = found.next?.waitsFor ?? [];
  const waiting = columns(
    waits.map(({ what, detail, expected }) => ["  ◷", plain(what), plain(detail), showExpected(expected)]),
    terminal,
  );
  return [...lines, ...waiting, ...evidenceLines(found.signals, { terminal, width })].join("\n");
}

/** Width of the picture: what the other columns leave, within what can still be read. */
const [LEAST_WIDTH, MOST_WIDTH, OTHERS_WIDTH] = [16, 60, 92];

function evidenceLines(signals: readonly SignalPicture[], about: { readonly terminal: Pick<Terminal, "isColored">; readonly width: number }): string[] {
  if (signals.length === 0) return ["", "No evidence yet."];
  const width = Math.max(LEAST_WIDTH, Math.min(MOST_WIDTH, about.width - OTHERS_WIDTH));
  const header = ["SIGNAL", `HARM ${"·".repeat(Math.max(0, width - 5))}`, "DELTA (bound)", "TOLERATED/LIMIT", "N", "VERDICT", "PROOF", "ALARM"];
  const rows = signals.map((signal): (Cell | string)[] => {
    const verdict = verdictCell(signal.verdict);
    const harm = { ...signal, centre: signal.low === null || signal.high === null ? signal.delta : (signal.low + signal.high) / 2 };
    return [
      signalName(signal),
      { text: harm.centre === null ? "" : picture(harm, width), tone: verdict.tone },
      showDelta(signal),
      showMargin(signal),
      `${showCount(signal.candidateN)}/${showCount(signal.baselineN)}`,
      verdict,
      signal.proof === null ? "-" : bar(signal.proof),
      signal.weight === 0 ? "-" : bar(signal.alarm),
    ];
  });
  const legend = "HARM: 0 none, T tolerated, L limit, ├─●─┤ where it is. PROOF of safety and ALARM: shares of the log evidence that it takes.";
  return ["", ...columns([header.map((text) => ({ text, tone: "dim" as const })), ...rows], about.terminal), "", legend];
}

/** `latency_p95`, `  [context=long]` under its signal, `error_rate, edition 1` of earlier margins. */
function signalName({ signal, slice, edition }: Pick<SignalPicture, "signal" | "slice" | "edition">): string {
  const of = edition > 0 ? `${plain(signal)}, edition ${edition}` : plain(signal);
  return slice === "all" ? of : `  ${of} [${plain(slice)}]`;
}
