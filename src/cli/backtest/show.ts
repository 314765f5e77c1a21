import { type Report, ratesOf } from "../../domain/backtest/report.ts";
import { columns } from "../show/columns.ts";
import type { Terminal } from "../terminal.ts";

const words: Readonly<Record<Report["outcome"], string>> = {
  done: "done: the candidate became the baseline",
  rolled_back: "rolled back",
  frozen: "frozen, and it stays so",
  undecided: "undecided",
};

const number = (value: number | null) => (value === null ? "-" : Number(value.toPrecision(4)).toString());

/** One rollout for people: how it ended, why, and what happened when. */
export function showReport({ outcome, reasons, timeline, requests_exposed, virtual_hours }: Report, terminal: Pick<Terminal, "isColored">): string {
  const rows = reasons.map(({ signal, slice, verdict, value, baseline, delta, bound, tolerated, limit, n }) => [
    slice === "all" ? signal : `${signal} (${slice})`,
    verdict,
    number(baseline),
    number(value),
    number(delta),
    number(bound),
    number(tolerated),
    number(limit),
    String(n),
  ]);
  const events = timeline.map(({ hours, action, phase, share, message }) => [`${hours.toFixed(2)} h`, action, phase, `${share} %`, message]);
  return [
    `${words[outcome]} after ${virtual_hours} h; ${requests_exposed} requests were answered by the candidate`,
    "",
    ...columns([["SIGNAL", "VERDICT", "BASELINE", "CANDIDATE", "HARM", "BOUND", "TOLERATED", "LIMIT", "N"], ...rows], terminal),
    "",
    ...columns([["TIME", "ACTION", "PHASE", "SHARE", "WHY"], ...events], terminal),
  ].join("\n");
}

/** Many rollouts for people: how often each outcome came, and what it took. */
export function showRates(reports: readonly Report[], terminal: Pick<Terminal, "isColored">): string {
  const rates = ratesOf(reports);
  const percent = (rate: number) => `${(100 * rate).toFixed(1)} %`;
  const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
  return [
    `${reports.length} rollouts`,
    ...columns(
      Object.entries(rates).map(([name, rate]) => [name, percent(rate)]),
      terminal,
    ),
    `median ${median(reports.map(({ virtual_hours }) => virtual_hours))} h, ${median(reports.map(({ requests_exposed }) => requests_exposed))} requests exposed`,
  ].join("\n");
}
