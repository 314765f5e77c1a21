import type { Command } from "commander";
import { version } from "../../config/version.ts";
import { repeatedGaps } from "../../domain/backtest/arrivals.ts";
import { dice } from "../../domain/backtest/dice.ts";
import { type Report, ratesOf, reportOf } from "../../domain/backtest/report.ts";
import { type Arrivals, simulate } from "../../domain/backtest/simulate.ts";
import { KnownError } from "../../errors/known-error.ts";
import { act, type Cli } from "../cli.ts";
import { parseDuration } from "../duration.ts";
import { exitCode } from "../exit-code.ts";
import { fieldNames } from "../recorded/field-names.ts";
import { readGaps } from "../recorded/read-arrivals.ts";
import { readCalls } from "../recorded/read-calls.ts";
import { readSpecFile } from "../rollout/spec-file.ts";
import { type Prepared, prepare, signalsNamed } from "./prepare.ts";
import { sha256 } from "./sha256.ts";
import { showRates, showReport } from "./show.ts";

const collect = (value: string, values: readonly string[]): readonly string[] => [...values, value];

interface Options {
  readonly calls: readonly string[];
  readonly baseline: string;
  readonly candidate: string;
  readonly spec?: string;
  readonly set: readonly string[];
  readonly arrivals?: string;
  readonly rps?: string;
  readonly seed: string;
  readonly passes?: string;
  readonly map: readonly string[];
  readonly order: string;
  readonly horizon: string;
  readonly json?: boolean;
}

/** Requests per second when nothing else is said: enough for the default ladder to decide in hours. */
const DEFAULT_RPS = 10;

/** `headgate backtest` */
export function backtestCommand(command: Command, cli: Cli): Command {
  command
    .description("run a rollout on recorded calls, on a virtual clock and without Kafka: would it have been stopped?")
    .requiredOption("--calls <file...>", "recorded calls, JSONL, gzip or plain")
    .requiredOption("--baseline <version>", "model_version of the rows that serve as baseline")
    .requiredOption("--candidate <version>", "model_version of the candidate's rows; the baseline's own for an A/A rollout")
    .option("--spec <file>", "the rollout; default: presets of the signals that the calls carry")
    .option("--set <path=value>", "set one value of the spec, for example signals.task_completion.margin.limit=0.02; repeatable", collect, [])
    .option("--arrivals <file>", "JSONL with t_ms per call: when calls arrive; repeated for as long as the rollout lasts")
    .option("--rps <n>", `requests per second of the route, without --arrivals (default ${DEFAULT_RPS})`)
    .option("--seed <n>", "seed of the draws", "1")
    .option("--passes <n>", "run so many times, with seeds from --seed on, and tell how often each outcome came")
    .option("--map <field=name>", "read what the rows call FIELD as NAME; repeatable", collect, [])
    .option("--order <how>", "drawn: each call takes a row of its version at random; as-recorded: in the order of the file, again and again", "drawn")
    .option("--horizon <time>", "virtual time after which an undecided rollout is given up", "14d")
    .option("--json", "for machines");
  return act(command, cli, async (_args, given) => {
    const options = given as unknown as Options;
    const settings = settingsOf(options);
    const trace = options.arrivals === undefined ? null : repeatedGaps(await readGaps(options.arrivals));
    const spec = options.spec === undefined ? null : await readSpecFile(cli, options.spec, []);
    const calls = await readCalls(options.calls, fieldNames(options.map, signalsNamed(spec)));
    const prepared = prepare(calls, { baseline: options.baseline, candidate: options.candidate, spec, set: options.set });
    for (const notice of prepared.notices) cli.terminal.err(`note: ${notice}`);
    const reports = Array.from({ length: settings.passes ?? 1 }, (_, i) => run(prepared, settings, trace, settings.seed + i));
    cli.terminal.out(shown(reports, settings, { isJson: options.json === true, terminal: cli.terminal }));
    return exitCode.ok;
  });
}

interface Settings {
  readonly order: "drawn" | "recorded";
  readonly seed: number;
  /** null: one rollout, told in full. */
  readonly passes: number | null;
  readonly rps: number;
  readonly horizonMs: number;
}

function settingsOf(options: Options): Settings {
  if (options.order !== "drawn" && options.order !== "as-recorded") throw usage(`--order is ${options.order}`, "give drawn or as-recorded");
  if (options.arrivals !== undefined && options.rps !== undefined) throw usage("--arrivals and --rps exclude each other", "give one of them");
  return {
    order: options.order === "drawn" ? "drawn" : "recorded",
    seed: whole("--seed", options.seed, 0),
    passes: options.passes === undefined ? null : whole("--passes", options.passes, 1),
    rps: positive("--rps", options.rps ?? String(DEFAULT_RPS)),
    horizonMs: parseDuration(options.horizon, "--horizon"),
  };
}

function run(prepared: Prepared, { order, rps, horizonMs }: Settings, trace: Arrivals | null, seed: number): Report {
  const thrown = dice(seed);
  const poisson: Arrivals = (fromMs, toMs) => thrown.poisson((rps * (toMs - fromMs)) / 1_000);
  return reportOf(simulate({ ...prepared, arrivals: trace ?? poisson, dice: thrown, order, horizonMs, deps: { sha256, codeVersion: version } }));
}

function shown(reports: readonly Report[], { passes }: Settings, about: { readonly isJson: boolean; readonly terminal: Cli["terminal"] }): string {
  const [first] = reports;
  if (passes === null && first !== undefined) return about.isJson ? JSON.stringify(first) : showReport(first, about.terminal);
  return about.isJson ? `${JSON.stringify(reports)}\n${JSON.stringify(ratesOf(reports))}` : showRates(reports, about.terminal);
}

const usage = (what: string, fix: string) => new KnownError("REQUEST_INVALID", what, { fix });

function whole(option: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least && text.trim() !== "") return value;
  throw usage(`${option} is ${text}`, `give a whole number of at least ${least}`);
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw usage(`${option} is ${text}`, "give a number above 0");
}
