import type { RolloutForecast, SignalForecast, StepForecast } from "../../domain/planning/forecast.ts";
import { type Cell, columns } from "../show/columns.ts";
import { showCount, trim } from "../show/words.ts";
import { plain, type Terminal } from "../terminal.ts";
import type { Volume } from "./volume.ts";

const header = ["NAME", "STEP", "N/MIN", "TOLERATED/LIMIT", "FROZEN AT LIMIT", "AT 2 x LIMIT", "PROVEN SAFE", "AT TOLERATED", "SAMPLES", ""];

/** Minutes for people: `45 min`, `2.4 h`, `1.5 d`; null is `never`. */
export function showMinutes(minutes: number | null): string {
  if (minutes === null) return "never";
  if (minutes < 1) return "< 1 min";
  if (minutes < 89.5) return `${Math.round(minutes)} min`;
  const hours = minutes / 60;
  if (hours < 47.5) return `${trim(Number(hours.toPrecision(2)))} h`;
  return `${trim(Number((hours / 24).toPrecision(2)))} d`;
}

const showRate = (perMinute: number) => (perMinute >= 100 ? showCount(Math.round(perMinute)) : trim(Number(perMinute.toPrecision(2))));

/** `0.01/0.05`, or `1.9%/10%` when relative: percentiles are counted in steps of 1.9 %. */
function showMargins({ tolerated, limit, relative }: SignalForecast["margin"]): string {
  const show = (margin: number) => (relative ? `${Number((100 * margin).toFixed(1))}%` : trim(margin));
  return `${show(tolerated)}/${show(limit)}`;
}

/** A plan as people read it: what was assumed, the whole, then per step and guardrail. */
export function showPlan(
  forecast: RolloutForecast,
  about: { readonly volume: Volume; readonly problems: readonly string[]; readonly advice: readonly string[]; readonly terminal: Pick<Terminal, "isColored"> },
): string {
  const rps = trim(Number((forecast.callsPerMinute / 60).toPrecision(3)));
  const last = forecast.steps.at(-1);
  const judged = forecast.judgeCalls === null ? "never ends" : `${showCount(Math.round(forecast.judgeCalls))} judgements`;
  const facts: [string, string][] = [
    ["Name", forecast.route],
    ["Versions", `${forecast.candidate} (candidate)`],
    ["", `${forecast.baseline} (baseline)`],
    ["Volume", `${rps} requests/s, ${about.volume.source}`],
    ["Climb", `${showMinutes(forecast.climbMinutes)} to everybody but the holdback, then ${showMinutes(last?.minutes ?? null)} of observation`],
    ["Judge", forecast.judgeCostUsd === null ? judged : `${judged}, $${forecast.judgeCostUsd.toFixed(2)}`],
  ];
  const rows = forecast.steps.flatMap((step, i) => stepRows(step, i === forecast.steps.length - 1));
  const lines = [
    ...facts.map(([name, value]) => `${(name === "" ? "" : `${name}:`).padEnd(17)}${plain(value)}`),
    "",
    ...columns([header, ...rows], about.terminal),
  ];
  const stated = statedLines(forecast);
  return [...lines, ...stated, ...exposureLines(forecast), ...about.problems.map((line) => `✖ ${line}`), ...about.advice].join("\n");
}

function stepRows(step: StepForecast, isLast: boolean): (Cell | string)[][] {
  const name = step.phase === "canary" ? `${trim(step.percent)} %` : step.phase;
  const isDecided = step.decides
    ? ({ text: `✔ ${showMinutes(step.minutes)}`, tone: "good" } as const)
    : ({ text: `✖ ${showMinutes(step.minutes)}`, tone: "bad" } as const);
  const stem = isLast ? "   " : "│  ";
  const signals = step.signals.map((signal, i) => signalRow(`${stem}${i === step.signals.length - 1 ? "└" : "├"}──α ${plain(signal.signal)}`, signal, step));
  return [[`${isLast ? "└" : "├"}──# ${name}`, isDecided], ...signals];
}

function signalRow(name: string, signal: SignalForecast, step: StepForecast): (Cell | string)[] {
  const [limit, twice] = signal.freeze;
  const isAsked = signal.isRequired || step.phase === "observing";
  const ofLag = signal.lagMinutes > 0 && step.phase !== "shadow" ? `, its outcomes come after ${showMinutes(signal.lagMinutes)}` : "";
  const note =
    signal.never !== null && isAsked
      ? signal.never
      : signal.signal === step.limiting
        ? `slowest${signal.slowestTest === "floor" ? ", its floor" : ""}${ofLag}`
        : ofLag.slice(2);
  return [
    name,
    "",
    showRate(signal.perMinute.candidate),
    showMargins(signal.margin),
    limit === undefined ? "-" : showMinutes(limit.minutes),
    twice === undefined ? "-" : showMinutes(twice.minutes),
    isAsked && signal.slowestTest !== null ? showMinutes(signal.advance.noHarm) : "-",
    isAsked && signal.slowestTest !== null ? showMinutes(signal.advance.atTolerated) : "-",
    signal.advanceSamples === null || !isAsked ? "-" : showCount(Math.ceil(signal.advanceSamples)),
    { text: plain(note), isSentence: true },
  ];
}

/** Effects that were asked about, one line each and step. */
function statedLines({ steps }: RolloutForecast): string[] {
  const lines = steps.flatMap((step) =>
    step.signals.flatMap(({ signal, freeze, margin }) =>
      freeze.slice(2).map(({ effect, minutes, samples }) => {
        const harm = margin.relative ? `+${trim(100 * effect)} %` : `${trim(100 * effect)} points`;
        const where = step.phase === "canary" ? `${trim(step.percent)} %` : step.phase;
        return `  ${plain(signal)} ${harm} worse, ${where}: frozen after ${showMinutes(minutes)}${samples === null ? "" : ` and ${showCount(Math.ceil(samples))} records`}`;
      }),
    ),
  );
  return lines.length === 0 ? [] : ["", "Harms asked about:", ...lines];
}

/** The most that a bad candidate is seen by: its harm at the limit, and found by the slowest signal. */
function exposureLines({ steps }: RolloutForecast): string[] {
  const first = steps.find(({ phase }) => phase !== "shadow");
  if (first?.worst === null || first?.worst === undefined) return [""];
  const { signal, minutes, requests } = first.worst;
  const where = first.phase === "canary" ? `${trim(first.percent)} %` : first.phase;
  const exposed = requests === null ? "" : `, ${showCount(Math.ceil(requests))} requests`;
  return [
    "",
    `Worst exposure at ${where}: ${plain(signal)} at its limit serves ${showMinutes(minutes)}${exposed} before the freeze. Times are medians; 9 of 10 stay below twice as much, a rollback takes 1.3 to 2 times the freeze.`,
  ];
}
