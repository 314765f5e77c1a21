import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { arrivalsOf, meanRate } from "../../domain/audit/arrivals.ts";
import { ALPHA } from "../../domain/audit/headgate.ts";
import { ASSUMED_CALLS_PER_SECOND, type AuditSettings, missingFields, type Prepared } from "../../domain/audit/prepare.ts";
import { parseRule, type Rule } from "../../domain/audit/rule.ts";
import { summarise } from "../../domain/audit/summary.ts";
import { KnownError } from "../../errors/known-error.ts";
import { act, type Cli } from "../cli.ts";
import { exitCode } from "../exit-code.ts";
import type { FoundCall } from "./formats/fields.ts";
import { parseMappings } from "./mapping.ts";
import { type ReadFile, readCalls } from "./read.ts";
import { Interrupted, prepare, runRollouts } from "./run-rollouts.ts";
import { auditSvg } from "./svg.ts";
import { auditTable } from "./table.ts";
import { type Audited, findings, showCount } from "./words.ts";

const collect = (value: string, values: readonly string[]): readonly string[] => [...values, value];

interface AuditOptions {
  readonly calls: readonly string[];
  readonly rule: readonly string[];
  readonly model?: string;
  readonly map: readonly string[];
  readonly rps?: string;
  readonly share: string;
  readonly hours: string;
  readonly seed: string;
  readonly rollouts: string;
  readonly json?: string;
  readonly svg?: string;
}

/** `headgate audit` */
export function auditCommand(command: Command, cli: Cli): Command {
  command
    .description("how often your gate would stop a model identical to yours, and how fast it notices a worse one: on your own recorded calls, without Kafka")
    .requiredOption("--calls <file...>", "recorded calls: our JSONL, LiteLLM, Langfuse, OpenAI-style logs; JSONL, JSON, CSV, gzip; - reads standard input")
    .option("--rule <rule>", "a rule of yours, such as 'latency_p95 > 1.10x for 15m'; repeatable", collect, [])
    .option("--model <name>", "whose calls to draw from, where there are several; default the most frequent")
    .option("--map <field=column>", "a field from another column, such as task_pass=scores.helpful>=0.7; repeatable", collect, [])
    .option("--rps <n>", `calls per second of all users; default as recorded, ${ASSUMED_CALLS_PER_SECOND} when the calls carry no times`)
    .option("--share <percent>", "candidate's share of calls", "10")
    .option("--hours <n>", "how long a rollout lasts", "24")
    .option("--seed <n>", "of the dice", "1")
    .option("--rollouts <n>", "rollouts of an identical model; a fifth as many of each harm", "1000")
    .option("--json <file>", "write all figures; - writes them to standard output instead of the table")
    .option("--svg <file>", "write the table as a picture that can be shared");
  return act(command, cli, async (_args, options) => {
    try {
      await audit(options as unknown as AuditOptions, cli);
      return exitCode.ok;
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      cli.terminal.err("interrupted: nothing was written");
      return exitCode.failed;
    }
  });
}

async function audit(options: AuditOptions, cli: Cli): Promise<void> {
  const startedAt = cli.now();
  const rules = options.rule.map(readRule);
  const settings: AuditSettings = {
    rules,
    callsPerSecond: options.rps === undefined ? null : number("--rps", options.rps, 0.001, 10_000),
    share: number("--share", options.share, 0.1, 99.9) / 100,
    hours: number("--hours", options.hours, 0.25, 168),
    seed: number("--seed", options.seed, 0, Number.MAX_SAFE_INTEGER),
  };
  const identical = Math.round(number("--rollouts", options.rollouts, 10, 100_000));
  const mapping = parseMappings(options.map);
  const files: ReadFile[] = [];
  for (const file of options.calls) files.push(await readCalls(file, mapping));
  const { model, calls: all } = chosen(files, options.model);
  const { calls, callsPerSecond } = thinned(all, settings.callsPerSecond);
  refuseUnknown(calls, rules, files);
  const setup = { calls, settings: { ...settings, callsPerSecond } };
  const prepared = prepare(setup);
  for (const line of said(files, { model, calls }, prepared)) cli.terminal.err(line);
  const counts = { identical, perEffect: Math.max(10, Math.ceil(identical / 5)) };
  cli.terminal.err(`simulating ${showCount(identical)} rollouts of an identical model and ${counts.perEffect} of each harm, ${settings.hours} h each ...`);
  const outcomes = await runRollouts(setup, prepared, counts, cli.interrupted);
  const result = summarise(prepared, outcomes, { callsPerSecond: meanRate(prepared.arrivals) / 60, alpha: ALPHA });
  const audited: Audited = { result, model, usersPerCall: usersPerCall(calls) };
  const json = () =>
    JSON.stringify({ findings: findings(audited), model, files: files.map(summaryOf), usersPerCall: audited.usersPerCall, ...result }, null, 2);
  if (options.json === "-") cli.terminal.out(json());
  else cli.terminal.out(auditTable(audited, cli.terminal).join("\n"));
  if (options.json !== undefined && options.json !== "-") await write(options.json, `${json()}\n`);
  if (options.svg !== undefined) await write(options.svg, auditSvg(audited));
  cli.terminal.err(`took ${((cli.now() - startedAt) / 1_000).toFixed(1)} s`);
}

const summaryOf = ({ file, format, calls, skipped }: ReadFile) => ({ file, format, calls: calls.length, skipped });

function readRule(text: string): Rule {
  const parsed = parseRule(text);
  if (parsed.kind === "rule") return parsed.rule;
  const { column, message } = parsed.problem;
  throw new KnownError("REQUEST_INVALID", `--rule, column ${column}: ${message}\n  ${text}\n  ${" ".repeat(column - 1)}^`, {
    fix: "write SIGNAL OP VALUE [for DURATION] [every DURATION] [N times], for example 'latency_p95 > 1.10x for 15m' or 'error_rate > +1pp for 5m 3 times'",
    details: { column },
  });
}

function number(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= least && value <= most) return value;
  throw new KnownError("REQUEST_INVALID", `${option} ${text} is not a number from ${least} to ${most}`, {
    fix: `give a number, for example ${option} ${Math.max(least, Math.min(10, most))}`,
  });
}

/** The calls of one model: an audit is of what serves now. */
function chosen(files: readonly ReadFile[], wanted: string | undefined): { readonly model: string; readonly calls: FoundCall[] } {
  const all = files.flatMap(({ calls }) => calls);
  const counts = new Map<string, number>();
  for (const { model } of all) counts.set(model, (counts.get(model) ?? 0) + 1);
  const model = wanted ?? [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "";
  const calls = all.filter((call) => call.model === model);
  if (calls.length > 0) return { model, calls };
  throw new KnownError("REQUEST_INVALID", `--model ${model}: no call is of it`, { fix: `name one of ${[...counts.keys()].slice(0, 20).join(", ")}` });
}

/** More calls than this say nothing more about what is drawn from them, and cost time and memory on every thread. */
const MOST_CALLS = 100_000;

/** Each k-th call of a large export; the rate stays that of all. */
function thinned(calls: readonly FoundCall[], given: number | null): { readonly calls: readonly FoundCall[]; readonly callsPerSecond: number | null } {
  const every = Math.ceil(calls.length / MOST_CALLS);
  if (every <= 1) return { calls, callsPerSecond: given };
  const times = calls.map(({ atMs }) => atMs);
  const arrivals = arrivalsOf(times, given, ASSUMED_CALLS_PER_SECOND);
  return { calls: calls.filter((_, i) => i % every === 0), callsPerSecond: given ?? (arrivals.kind === "steady" ? null : meanRate(arrivals) / 60) };
}

function refuseUnknown(calls: readonly FoundCall[], rules: readonly Rule[], files: readonly ReadFile[]): void {
  const [missing] = missingFields(calls, rules);
  const shape = [...new Set(files.map(({ format }) => format))].join(", ");
  if (missing !== undefined) {
    throw new KnownError(
      "REQUEST_INVALID",
      `--rule ${missing.text}: fewer than 30 of the ${calls.length} calls carry what ${missing.measure.name} needs (read as ${shape})`,
      {
        fix: "leave the rule out, or name the column that holds it with --map",
      },
    );
  }
}

/** What was read and what is assumed, line by line. */
function said(files: readonly ReadFile[], { model, calls }: { readonly model: string; readonly calls: readonly FoundCall[] }, prepared: Prepared): string[] {
  const { arrivals, columns, signals, settings } = prepared;
  if (signals.length === 0 && settings.rules.length === 0) {
    throw new KnownError("REQUEST_INVALID", `none of the ${calls.length} calls carries a signal (read as ${files[0]?.format ?? ""})`, {
      fix: "export latency, cost, errors or scores too, or name their columns with --map, for example --map latency_ms=duration",
    });
  }
  const lines = files.map(
    ({ file, format, calls: found, skipped }) =>
      `${file}: ${format}, ${showCount(found.length)} calls${skipped === 0 ? "" : `, ${showCount(skipped)} other rows left out`}`,
  );
  const total = files.reduce((sum, file) => sum + file.calls.length, 0);
  const ofModel = files.reduce((sum, file) => sum + file.calls.filter((call) => call.model === model).length, 0);
  if (ofModel < total) lines.push(`drawn from ${showCount(ofModel)} calls of ${model}; --model chooses another`);
  if (calls.length < ofModel) lines.push(`of these each ${Math.ceil(ofModel / calls.length)}th: more would change nothing`);
  const rate = Number((meanRate(arrivals) / 60).toPrecision(3));
  const pattern = {
    day: `${rate} calls/s on average, by the hour of the recorded days (${arrivals.cells.length === 1 ? "one mix of calls" : `${arrivals.cells.length} mixes of calls over the day`})`,
    stretch: `${rate} calls/s on average, in the recorded pattern over and over`,
    steady: `${rate} calls/s, steady${settings.callsPerSecond === null ? " (assumed: the calls carry no arrival times; --rps says otherwise)" : ""}`,
  }[arrivals.kind];
  lines.push(`traffic: ${pattern}; candidate ${Number((100 * settings.share).toPrecision(3))} %`);
  if (calls.length < 1_000) lines.push(`note: only ${columns.rows} calls: rare failures and slow calls are known from few of them`);
  return lines;
}

/** Users per call; null unless nearly all calls say whose they are. */
function usersPerCall(calls: readonly FoundCall[]): number | null {
  const named = calls.filter(({ subject }) => subject !== null);
  return named.length < 0.95 * calls.length ? null : new Set(named.map(({ subject }) => subject)).size / named.length;
}

async function write(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    throw new KnownError("REQUEST_INVALID", `${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`, {
      fix: "check the path",
      cause: error,
    });
  }
}
