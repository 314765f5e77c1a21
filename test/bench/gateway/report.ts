import type { LoadResult } from "./load.ts";

/** What is measured of each contender in each round. */
export interface Phase {
  readonly name: "calls" | "streams" | "quiet calls" | "quiet streams";
  readonly isStream: boolean;
  /** At a fixed low rate, where what a proxy adds can be seen without a queue. */
  readonly isQuiet: boolean;
}
export const phases: readonly Phase[] = [
  { name: "calls", isStream: false, isQuiet: false },
  { name: "streams", isStream: true, isQuiet: false },
  { name: "quiet calls", isStream: false, isQuiet: true },
  { name: "quiet streams", isStream: true, isQuiet: true },
];

export interface Measured extends LoadResult {
  /** Processor time of the proxy per call, microseconds: what other work on the machine changes least. */
  readonly cpuUs: number;
}

export interface Round {
  readonly name: string;
  readonly phase: Phase["name"];
  readonly result: Measured;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

function medianOf(rounds: readonly Round[], name: string, phase: Phase["name"], what: keyof Measured): number {
  return median(rounds.filter((round) => round.name === name && round.phase === phase).map(({ result }) => result[what]));
}

/** The least over the rounds: of processor times the one that other work on the machine disturbed least. */
function leastOf(rounds: readonly Round[], name: string, phase: Phase["name"], what: keyof Measured): number {
  const values = rounds.filter((round) => round.name === name && round.phase === phase).map(({ result }) => result[what]);
  return values.length === 0 ? Number.NaN : Math.min(...values);
}

/** Median over the rounds of what a contender takes more than the direct way took in the same round; NaN without a direct way. */
function addedTo(rounds: readonly Round[], name: string, phase: Phase["name"], what: keyof Measured): number {
  const of = (who: string) => rounds.filter((round) => round.name === who && round.phase === phase).map(({ result }) => result[what]);
  const direct = of("direct");
  return median(of(name).map((value, i) => value - (direct[i] ?? Number.NaN)));
}

const show = (value: number, digits: number): string => (Number.isNaN(value) ? "-" : value.toFixed(digits));

/** A table in Markdown: one line for each contender. */
export function tableOf(names: readonly string[], rounds: readonly Round[], rss: ReadonlyMap<string, number>): string {
  const bare = medianOf(rounds, "bare", "calls", "rps");
  const columns = [
    "",
    "calls/s",
    "of bare",
    "p50 ms",
    "p99 ms",
    "streams/s",
    "p50 ms",
    "p99 ms",
    "CPU µs a call",
    "at least",
    "added p50 at 100/s, ms",
    "added to first chunk at 100/s, ms",
    "RSS MiB",
  ];
  const lines = names.map((name) => [
    name,
    show(medianOf(rounds, name, "calls", "rps"), 0),
    show(medianOf(rounds, name, "calls", "rps") / bare, 2),
    show(medianOf(rounds, name, "calls", "p50"), 2),
    show(medianOf(rounds, name, "calls", "p99"), 2),
    show(medianOf(rounds, name, "streams", "rps"), 0),
    show(medianOf(rounds, name, "streams", "p50"), 2),
    show(medianOf(rounds, name, "streams", "p99"), 2),
    show(medianOf(rounds, name, "calls", "cpuUs"), 0),
    show(leastOf(rounds, name, "calls", "cpuUs"), 0),
    show(addedTo(rounds, name, "quiet calls", "p50"), 2),
    show(addedTo(rounds, name, "quiet streams", "firstP50"), 2),
    show(rss.get(name) ?? Number.NaN, 0),
  ]);
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return `${[row(columns), row(columns.map(() => "---")), ...lines.map(row)].join("\n")}\n`;
}

/** The result as the last line has it: calls without a stream, medians of the rounds. */
export function resultOf(names: readonly string[], rounds: readonly Round[]): Record<string, { rps: number; p50_ms: number; p99_ms: number }> {
  const of = (name: string, what: keyof Measured, digits: number) => Number(medianOf(rounds, name, "calls", what).toFixed(digits));
  return Object.fromEntries(names.map((name) => [name, { rps: of(name, "rps", 0), p50_ms: of(name, "p50", 3), p99_ms: of(name, "p99", 3) }]));
}
