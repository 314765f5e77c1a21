import type { GateEvent } from "../../../topics/index.ts";
import { showDuration } from "../../domain/rollout/spec/duration.ts";
import { normaliseSpec } from "../../domain/rollout/spec/normalise.ts";
import type { Row, Seen } from "./observe.ts";
import type { Story } from "./stories.ts";

const seconds = (value: number | undefined) => (value === undefined ? "-" : `${value.toFixed(1)} s`);

/** A number as people read it: rates in percent, times in ms, money in dollars. */
function shown(signal: string, value: number | null): string {
  if (value === null) return "-";
  if (signal.startsWith("latency") || signal.startsWith("ttft")) return `${value.toFixed(0)} ms`;
  if (signal.startsWith("cost")) return `$${value.toFixed(5)}`;
  if (signal.endsWith("tokens")) return value.toFixed(0);
  return `${(100 * value).toFixed(1)} %`;
}

const harm = (delta: number | null, relative: boolean) =>
  delta === null ? "-" : `${delta > 0 ? "+" : ""}${(100 * delta).toFixed(1)} ${relative ? "%" : "points"}`;

/** The evidence of an event: what each signal showed. */
export function evidenceLines(event: GateEvent): string[] {
  return event.signals
    .filter((signal) => signal.tier === "guardrail")
    .map(
      (signal) =>
        `    ${signal.signal.padEnd(18)} ${signal.verdict.padEnd(13)} baseline ${shown(signal.signal, signal.baselineValue)} (${signal.baselineN})` +
        `  candidate ${shown(signal.signal, signal.candidateValue)} (${signal.candidateN})  harm ${harm(signal.delta, signal.relative)}  alpha spent ${signal.alphaSpent.toPrecision(2)}`,
    );
}

/** One line per gate event, for the log of the run. */
export function eventLine(seen: Seen, event: GateEvent, startedAtMs: number): string {
  const at = `${((event.atMs - startedAtMs) / 1000).toFixed(1)} s`.padStart(8);
  const share = `${event.fromSharePpm / 10_000} % -> ${event.toSharePpm / 10_000} %`;
  return `${at}  ${event.route.padEnd(16)} ${event.action.padEnd(11)} ${event.fromPhase} -> ${event.toPhase}  ${share}  [${event.reasons.join(", ")}]  (${seen.story.title})`;
}

const ladder = (seen: Seen) => {
  const step = seen.state?.phase === "canary" || seen.state?.phase === "observing" ? seen.state.step : -1;
  return (seen.story.spec.ladder ?? []).map((share, i) => (i === step ? `[${share}]` : `${share}`)).join(" ");
};

/** The live picture: one line per story. */
export function liveLines(
  all: Iterable<Seen>,
  { elapsedS, sent, pace }: { readonly elapsedS: number; readonly sent: number; readonly pace: number },
): string[] {
  const lines = [`headgate demo  ${elapsedS.toFixed(0)} s  ${sent} calls, callers at ${(100 * pace).toFixed(0)} %`];
  for (const seen of all) {
    const { state } = seen;
    lines.push(
      `  ${seen.story.route.padEnd(16)} ${(state?.phase ?? "baseline only").padEnd(12)} ${(state?.condition ?? "").padEnd(11)} ${ladder(seen).padEnd(14)} ` +
        `${(state?.message ?? "").slice(0, 90)}`,
    );
  }
  return lines;
}

/** The table at the end. */
export function finalTable(rows: readonly Row[]): string {
  const header = ["", "route", "story", "must end", "ended", "share reached", "subjects exposed", "breach to decision", "decision to last candidate call"];
  const cells = rows.map((row) => [
    row.right ? "ok" : "WRONG",
    row.route,
    row.title,
    row.expected,
    row.ended,
    `${row.highestSharePercent} %`,
    String(row.exposedSubjects),
    seconds(row.breachToDecisionS),
    seconds(row.decisionToLastCallS),
  ]);
  const widths = header.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...cells.map(line)].join("\n");
}

/** The defaults as the code has them: a spec that says nothing, made complete. */
function defaultSettings(): Readonly<Record<string, string>> {
  const versions = { "a@1": { upstream: "u", model: "a" }, "b@1": { upstream: "u", model: "b" } };
  const normalised = normaliseSpec({ route: "r", baseline: "a@1", candidate: "b@1", versions, signals: ["error_rate"], confidence: "none" }, []);
  if (normalised.kind !== "plan") throw new Error(`the smallest spec is refused: ${JSON.stringify(normalised.problems)}`);
  const { plan } = normalised;
  return {
    pane: showDuration(plan.paneMs),
    grace: `calls ${showDuration(plan.callsGraceMs)}, judge ${showDuration(plan.judgeGraceMs)}`,
    ladder: plan.ladder.map(({ percent }) => percent).join(", "),
    shadow: plan.shadow === null ? "none" : `share ${plan.shadow.ppm / 10_000}, minDwell ${showDuration(plan.shadow.minDwellMs)}`,
    dwell: `min ${showDuration(plan.dwell.minMs)}, minLate ${showDuration(plan.dwell.minLateMs)}, max ${showDuration(plan.dwell.maxMs)}`,
    observation: showDuration(plan.observationMs),
    holdback: String(plan.holdback.percent),
    minSamples: String(plan.minSamples),
    sustain: `${plan.sustain.panes} panes in ${showDuration(plan.sustain.windowMs)}`,
    advanced: `percentileMinRecords ${plan.percentileMinRecords}`,
    judge: "no budget",
    schema: plan.schemaCheck.source,
    confidence: "a quality guardrail is required",
  };
}

/** Every setting by which a story's spec differs from the defaults. */
export function settingsOf(story: Story): string[] {
  const defaults = defaultSettings();
  const { route, baseline, candidate, versions, signals, ...settings } = story.spec;
  const named = signals.map((signal) => (typeof signal === "string" ? signal : JSON.stringify(signal)));
  return [
    `${route}: ${baseline} -> ${candidate} (${Object.keys(versions).length} versions), ${story.callsPerSecond} calls/s`,
    `  signals: ${named.join(" ")}`,
    ...Object.entries(settings).map(([name, value]) => `  ${name}: ${JSON.stringify(value).slice(0, 400)}   (default: ${defaults[name] ?? "none"})`),
  ];
}
