import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { RolloutSpec } from "../../../topics/index.ts";
import { KnownError } from "../../errors/known-error.ts";
import { readCalls, readRows } from "./calls.ts";
import { compressed, type Dealt, deal, type Ending, promptsOf, type Story, turnedStory, versionsOf, wideSignals } from "./stories.ts";

/** One recorded comparison: which file, which two versions, which signals the recording carries, and how it must end. */
interface DataCase {
  readonly title: string;
  readonly file: string;
  readonly baseline: string;
  readonly candidate: string;
  readonly ending: Ending;
  readonly callsPerSecond: number;
  readonly spec: Pick<RolloutSpec, "signals"> & Partial<RolloutSpec>;
}

const jsonAnswer: NonNullable<RolloutSpec["schema"]> = {
  source: "json",
  jsonSchema: {
    type: "object",
    required: ["reasoning", "answer"],
    properties: { reasoning: { type: "string" }, answer: { type: ["string", "number"] } },
  },
  fence: "allowed",
};
const grounded = { name: "groundedness", margin: { limit: 0.2, tolerated: 0.05 } } as const;

const cases: readonly DataCase[] = [
  {
    title: "prime: gpt-4 March to June 2023",
    file: "llmdrift_prime_gpt4.jsonl",
    baseline: "gpt-4-0314",
    candidate: "gpt-4-0613",
    ending: "rolled_back",
    callsPerSecond: 12,
    spec: {
      signals: [wideSignals.schema, wideSignals.task, wideSignals.errors, wideSignals.latency, wideSignals.cost, wideSignals.tokens],
      judge: { rubric: "task@1", budget: "600/min" },
      schema: { source: "pattern", pattern: "\\[(Yes|No)\\]" },
    },
  },
  {
    title: "crux: gpt-4o to gpt-4o-mini",
    file: "zeroeval_crux_gpt4o.jsonl",
    baseline: "gpt-4o-2024-08-06",
    candidate: "gpt-4o-mini-2024-07-18",
    ending: "rolled_back",
    callsPerSecond: 12,
    spec: { signals: [wideSignals.schema, wideSignals.task, wideSignals.errors], judge: { rubric: "task@1", budget: "600/min" }, schema: jsonAnswer },
  },
  {
    title: "begin: CTRL to T5 (groundedness)",
    file: "begin_wow_grounded.jsonl",
    baseline: "ctrl",
    candidate: "t5",
    ending: "rolled_back",
    callsPerSecond: 10,
    spec: { signals: [grounded, wideSignals.errors], judge: { rubric: "grounded@1", budget: "600/min" }, schema: { source: "off" } },
  },
  {
    title: "gsm: gpt-4o May to August 2024",
    file: "zeroeval_gsm_gpt4o.jsonl",
    baseline: "gpt-4o-2024-05-13",
    candidate: "gpt-4o-2024-08-06",
    ending: "done",
    callsPerSecond: 24,
    spec: { signals: [wideSignals.schema, wideSignals.task, wideSignals.errors], judge: { rubric: "task@1", budget: "900/min" }, schema: jsonAnswer },
  },
  {
    title: "llama-2-70b: anyscale to fireworks",
    file: "llmperf_llama2_70b.jsonl",
    baseline: "llama-2-70b-chat@anyscale",
    candidate: "llama-2-70b-chat@fireworks",
    ending: "frozen_by_cohort",
    callsPerSecond: 10,
    spec: {
      signals: [wideSignals.errors, { name: "latency_p95", margin: { limit: 0.1 } }],
      schema: { source: "off" },
      shadow: { share: 0 },
      confidence: "none",
    },
  },
];

/** The stories on recorded outputs of real models; version names stay those of the recordings. */
export async function dataStories(directory: string, seed: number): Promise<Story[]> {
  const missing = cases.filter(({ file }) => !existsSync(join(directory, file))).map(({ file }) => file);
  if (missing.length > 0) {
    throw new KnownError("CONFIG_INVALID", `${directory} lacks ${missing.join(", ")}`, {
      fix: "give the directory of recorded calls that docs/demo.md describes",
    });
  }
  const dealt = deal(seed, cases.length + 1);
  const comparisons = await Promise.all(
    cases.map(async ({ title, file, baseline, candidate, ending, callsPerSecond, spec }, index) => {
      const names = { route: dealt[index]?.route ?? title, baseline, candidate };
      const calls = (await readCalls(join(directory, file))).filter((call) => [baseline, candidate].includes(call.model_version));
      return {
        title,
        ...names,
        spec: { ...compressed, ...spec, ...names, versions: versionsOf(names) },
        calls,
        prompts: promptsOf(calls, baseline),
        callsPerSecond,
        ending,
      };
    }),
  );
  return [...comparisons, await turnedPrime(directory, dealt.at(-1)?.route ?? "prime")];
}

/**
 * No rollout runs when the provider moves a name from GPT-4 of March to that of June 2023. The rollout before it was from one host of the March model to
 * another, so that both arms are recordings of the same version.
 */
async function turnedPrime(directory: string, route: string): Promise<Story> {
  const [march, june] = ["gpt-4-0314", "gpt-4-0613"];
  const names: Dealt = { route, baseline: `${march}@host-a`, candidate: `${march}@host-b` };
  const becomes = `${june}@host-b`;
  const rows = await readCalls(join(directory, "llmdrift_prime_gpt4.jsonl"));
  const as = (recorded: string, version: string) => rows.filter((row) => row.model_version === recorded).map((row) => ({ ...row, model_version: version }));
  const calls = [...as(march, names.baseline), ...as(march, names.candidate), ...as(june, becomes)];
  const schema = { source: "pattern", pattern: "\\[(Yes|No)\\]" } as const;
  return turnedStory({ title: "prime: gpt-4 March becomes June under its name", names, becomes, calls, schema, right: "[Yes]" });
}

/** Arrival times of a recorded production service, when the directory has them. */
export async function recordedArrivalTimes(directory: string): Promise<number[] | undefined> {
  const file = join(directory, "azure_llm_arrivals_conv_2023.jsonl");
  if (!existsSync(file)) return undefined;
  return (await readRows(file, z.object({ t_ms: z.number() }))).map((row) => row.t_ms);
}
