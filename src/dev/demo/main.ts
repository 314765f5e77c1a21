import { mkdirSync, mkdtempSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { KnownError } from "../../errors/known-error.ts";
import { dataStories, recordedArrivalTimes } from "./data-stories.ts";
import { type DemoOptions, runDemo } from "./run.ts";
import { builtInStories } from "./stories.ts";

const usage = `npm run demo -- [--seed N] [--swap good] [--data DIR] [--keep] [--json] [--logs DIR]
  --seed N     deals the stories to routes and version names (default 1)
  --swap good  the regressed candidate is replaced by a healthy one, which must end done
  --data DIR   replays recorded outputs of real models (docs/demo.md)
  --keep       leaves everything up at the end and prints the addresses
  --json       prints one JSON object at the end instead of the table`;

function parse(): { seed: number; swap: string | undefined; data: string | undefined; keep: boolean; json: boolean; logs: string | undefined } {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: "string", default: "1" },
        swap: { type: "string" },
        data: { type: "string" },
        keep: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        logs: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      console.log(usage);
      process.exit(0);
    }
    const seed = Number(values.seed);
    if (!Number.isInteger(seed) || seed < 0) throw new Error("--seed must be a whole number");
    if (values.swap !== undefined && values.swap !== "good") throw new Error("--swap knows only `good`");
    return { seed, swap: values.swap, data: values.data, keep: values.keep, json: values.json, logs: values.logs };
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    process.exit(2);
  }
}

/** A real judge when OPENAI_API_KEY or OPENAI_BASE_URL is set; only for built-in traffic, since recorded outputs are not ours to send. */
function realJudge(recorded: boolean): Record<string, string> | undefined {
  const { OPENAI_API_KEY: key, OPENAI_BASE_URL: url, HEADGATE_JUDGE_MODEL: model } = process.env;
  if (recorded || (!key && !url)) return undefined;
  if (!model) {
    throw new KnownError("CONFIG_INVALID", "OPENAI_API_KEY or OPENAI_BASE_URL is set, so a real judge is asked, but HEADGATE_JUDGE_MODEL is not set", {
      fix: "set HEADGATE_JUDGE_MODEL to the model that judges, or unset both to use the local judge",
    });
  }
  return { HEADGATE_JUDGE_MODEL: model, HEADGATE_JUDGE_API_KEY: key || "none", ...(url ? { HEADGATE_JUDGE_BASE_URL: url } : {}) };
}

/** Far more than it takes on two quiet cores (about 3 minutes): a slow machine is not a wrong decision. */
const deadlineS = 900;

const options = parse();
const directory = options.logs ?? mkdtempSync(join(tmpdir(), "headgate-demo-"));
mkdirSync(directory, { recursive: true });
try {
  const stories = options.data === undefined ? builtInStories(options.seed, options.swap === "good") : await dataStories(options.data, options.seed);
  const calls = stories.flatMap((story) => story.calls);
  await writeFile(join(directory, "calls.jsonl"), `${calls.map((call) => JSON.stringify(call)).join("\n")}\n`);
  const judge = realJudge(options.data !== undefined);
  const arrivalTimes = options.data === undefined ? undefined : await recordedArrivalTimes(options.data);
  const demo: DemoOptions = {
    stories,
    seed: options.seed,
    directory,
    recorded: options.data !== undefined,
    keep: options.keep,
    json: options.json,
    deadlineS,
    ...(arrivalTimes === undefined ? {} : { arrivalTimes }),
    ...(judge === undefined ? {} : { realJudge: judge }),
  };
  process.exitCode = (await runDemo(demo)) ? 0 : 1;
} catch (error) {
  console.error(error instanceof KnownError ? error.report() : error);
  console.error(`logs: ${directory}`);
  process.exit(error instanceof KnownError && error.code === "CONFIG_INVALID" ? 2 : 1);
}
if (process.exitCode === 0 && options.logs === undefined) await rm(directory, { recursive: true, force: true });
process.exit();
