import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { prepare } from "../../src/cli/backtest/prepare.ts";
import { sha256 } from "../../src/cli/backtest/sha256.ts";
import { parseDuration } from "../../src/cli/duration.ts";
import { fieldNames } from "../../src/cli/recorded/field-names.ts";
import { readCalls } from "../../src/cli/recorded/read-calls.ts";
import { dice } from "../../src/domain/backtest/dice.ts";
import { type Report, reportOf } from "../../src/domain/backtest/report.ts";
import { simulate } from "../../src/domain/backtest/simulate.ts";
import { KnownError } from "../../src/errors/known-error.ts";

/**
 * `npm run bench:aa [-- --seeds 200 --hours 24 --rps 10 --workers 2]`: on every version of every recorded file, how many rollouts against
 * itself are stopped (frozen or rolled back at any time), and whether the rollouts whose truth is known end as it demands. Prints a Markdown
 * table; exit code 1 when more than alpha of the seeds of a version were stopped, or an ending is wrong.
 */
const directory = resolve(import.meta.dirname, "../../../shared/data");
const ALPHA = 0.05;

interface Job {
  readonly file: string;
  readonly baseline: string;
  readonly candidate: string;
  /** null: a version against itself, which must not be stopped. */
  readonly truth: Report["outcome"] | null;
  readonly seeds: number;
  readonly rps: number;
  readonly horizonMs: number;
}

/** What became of a job's seeds. */
interface Result {
  readonly job: Job;
  readonly outcomes: Readonly<Record<Report["outcome"], number>>;
  readonly stopped: number;
}

const truths = [
  ["llmdrift_prime_gpt4.jsonl", "gpt-4-0314", "gpt-4-0613", "rolled_back"],
  ["zeroeval_crux_gpt4o.jsonl", "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "rolled_back"],
  ["zeroeval_gsm_gpt4o.jsonl", "gpt-4o-2024-05-13", "gpt-4o-2024-08-06", "done"],
] as const;
const TRUTH_SEEDS = 20;
const TRUTH_HORIZON_MS = 14 * 86_400_000;

async function resultOf(job: Job): Promise<Result> {
  const calls = await readCalls([join(directory, job.file)], fieldNames());
  const prepared = prepare(calls, { baseline: job.baseline, candidate: job.candidate, spec: null, set: [] });
  const outcomes = { done: 0, rolled_back: 0, frozen: 0, undecided: 0 };
  let stopped = 0;
  for (let seed = 1; seed <= job.seeds; seed++) {
    const thrown = dice(seed);
    const arrivals = (fromMs: number, toMs: number) => thrown.poisson((job.rps * (toMs - fromMs)) / 1_000);
    const about = { ...prepared, arrivals, dice: thrown, order: "drawn", horizonMs: job.horizonMs, deps: { sha256, codeVersion: "bench" } } as const;
    const { outcome, timeline } = reportOf(simulate(about));
    outcomes[outcome]++;
    if (timeline.some(({ action }) => action === "frozen" || action === "rolled_back")) stopped++;
  }
  return { job, outcomes, stopped };
}

function option(name: string, otherwise: string): string {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : (process.argv[at + 1] ?? otherwise);
}

function positive(name: string, otherwise: number): number {
  const value = Number(option(name, String(otherwise)));
  if (Number.isFinite(value) && value > 0) return value;
  throw new KnownError("REQUEST_INVALID", `--${name} is not a number above 0`, { fix: `write for example --${name} ${otherwise}` });
}

async function jobs(): Promise<Job[]> {
  const settings = { seeds: Math.round(positive("seeds", 200)), rps: positive("rps", 10), horizonMs: parseDuration(`${positive("hours", 24)}h`, "--hours") };
  const identical: Job[] = [];
  for (const file of readdirSync(directory).filter((name) => name.endsWith(".jsonl") && !name.startsWith("azure"))) {
    const versions = new Set((await readCalls([join(directory, file)], fieldNames())).map(({ version }) => version));
    for (const version of [...versions].sort()) identical.push({ file, baseline: version, candidate: version, truth: null, ...settings });
  }
  const known = truths.map(([file, baseline, candidate, truth]) => ({
    ...{ file, baseline, candidate, truth },
    ...{ ...settings, seeds: Math.min(settings.seeds, TRUTH_SEEDS), horizonMs: TRUTH_HORIZON_MS },
  }));
  return [...known, ...identical];
}

const isKept = ({ job, outcomes, stopped }: Result) => (job.truth === null ? stopped <= ALPHA * job.seeds : outcomes[job.truth] === job.seeds);

function line(result: Result): string {
  const { job, outcomes, stopped } = result;
  const who = job.truth === null ? `${job.baseline} against itself` : `${job.baseline} → ${job.candidate}`;
  const counts = (["done", "rolled_back", "frozen", "undecided"] as const).map((outcome) => outcomes[outcome]);
  return `| ${[job.file.replace(".jsonl", ""), who, job.seeds, stopped, ...counts, isKept(result) ? "yes" : "NO"].join(" | ")} |`;
}

async function main(): Promise<void> {
  const waiting = await jobs();
  console.log(`A/A: ${positive("hours", 24)} h each at ${positive("rps", 10)} requests/s, the spec made of what the calls carry, alpha ${ALPHA}\n`);
  console.log("| file | rollout | seeds | stopped | done | rolled back | frozen | undecided | as it should |\n|---|---|---|---|---|---|---|---|---|");
  let failures = 0;
  const work = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const given = job;
      const result = await new Promise<Result>((done, failed) => {
        new Worker(new URL(import.meta.url), { workerData: given }).once("message", done).once("error", failed);
      });
      if (!isKept(result)) failures++;
      console.log(line(result));
    }
  };
  await Promise.all(Array.from({ length: positive("workers", 2) }, work));
  if (failures > 0) process.exitCode = 1;
}

if (isMainThread) await main();
else parentPort?.postMessage(await resultOf(workerData as Job));
