import type { RolloutSpec } from "../../../topics/index.ts";
import type { RecordedCall } from "./calls.ts";
import { asGood, type Behaviour, june, march, publishedCalls, slower } from "./published.ts";
import { seeded } from "./random.ts";
import type { Prompt } from "./traffic.ts";

/** How a story must end, if headgate is right. */
export type Ending = "done" | "rolled_back" | "frozen_by_cohort" | "rerouted";

/** What the provider does behind the back of a route on which no rollout runs: calls of a model are answered as another one would. */
export interface Turn {
  readonly model: string;
  /** Version of the recorded calls that answers from then on. */
  readonly becomes: string;
}

/** One rollout of the demo: a route with its traffic, its two versions, its spec, and the ending that the truth demands. */
export interface Story {
  readonly title: string;
  readonly route: string;
  readonly baseline: string;
  readonly candidate: string;
  readonly spec: RolloutSpec;
  readonly calls: readonly RecordedCall[];
  readonly prompts: readonly Prompt[];
  readonly callsPerSecond: number;
  readonly ending: Ending;
  /** Done once the candidate serves everybody and is watched for drift. */
  readonly turn?: Turn;
}

export const upstreamName = "replay";

/** Everything by which a demo's spec differs from the defaults: time compressed, margins widened, a shorter ladder. */
export const compressed = {
  pane: "2s",
  grace: { calls: "1s", judge: "10s" },
  ladder: [30, 60, 100],
  shadow: { share: 50, minDwell: "5s" },
  dwell: { min: "6s", minLate: "6s", max: "10m" },
  observation: "16s",
  holdback: 10,
  minSamples: 50,
  sustain: { panes: 3, window: "12s" },
  advanced: { percentileMinRecords: 200 },
  drift: "off",
} satisfies Partial<RolloutSpec>;

/**
 * What differs in a story about drift: the rollout before it is short, and the watch and its golden prompts look every 2 s instead of every 10 min
 * and every hour.
 */
function watchedForDrift(golden: NonNullable<RolloutSpec["golden"]>["prompts"]) {
  return {
    ladder: [100],
    shadow: { share: 0 },
    observation: "8s",
    drift: { block: "2s", reference: "15s" },
    golden: { every: "2s", prompts: [...golden] },
    advanced: { percentileMinRecords: 100, driftMinRecords: 150 },
  } satisfies Partial<RolloutSpec>;
}

/** How many prompts an operator pins. */
const pinned = 6;

/** Golden prompts as an operator would choose them: such that the version answers right now, and must always contain this. */
function goldenPrompts(calls: readonly RecordedCall[], version: string, kind: RegExp, contains: string) {
  const right = calls.filter(
    (call) => call.model_version === version && call.task_pass === true && call.output?.includes(contains) && kind.test(call.prompt ?? ""),
  );
  return right.slice(0, pinned).map((call) => ({ prompt: call.prompt ?? "", expect: { contains } }));
}

/** The signals of the built-in stories with their widened margins; a limit of 1.0 on a percentile or a mean is +100 %. */
export const wideSignals = {
  schema: { name: "schema_validity", floor: 0.85, margin: { limit: 0.15, tolerated: 0.05 } },
  task: { name: "task_completion", margin: { limit: 0.2, tolerated: 0.05 } },
  errors: { name: "error_rate", margin: { limit: 0.15, tolerated: 0.05 } },
  latency: { name: "latency_p95", margin: { limit: 1.0 } },
  cost: { name: "cost_per_request", margin: { limit: 1.0 } },
  tokens: { name: "output_tokens", margin: { limit: 1.0 } },
} satisfies Record<string, Exclude<RolloutSpec["signals"][number], string>>;

const routePool = ["support-answer", "order-lookup", "contract-review", "lead-triage", "claims-intake", "release-notes"];
const versionPool = ["atlas", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "iris"];

const answerSchema = {
  type: "object",
  required: ["reasoning", "answer"],
  properties: { reasoning: { type: "string" }, answer: { type: "string" } },
};

export function promptsOf(calls: readonly RecordedCall[], version: string): Prompt[] {
  return calls
    .filter((call) => call.model_version === version)
    .map((call) => ({ text: call.prompt ?? `call ${call.prompt_id}`, ...(call.context === undefined ? {} : { context: call.context }) }));
}

export interface Dealt {
  readonly route: string;
  readonly baseline: string;
  readonly candidate: string;
}

/** Deals routes and version names by seed, so that no name gives a story away. */
export function deal(seed: number, stories: number): Dealt[] {
  const random = seeded(seed * 7919 + 17);
  const routes = random.shuffle(routePool);
  const names = random.shuffle(versionPool);
  return Array.from({ length: stories }, (_, i) => {
    const name = names[i % names.length] ?? "atlas";
    const [older, newer] = random.shuffle(["2026-05", "2026-11", "2026-08"]);
    return { route: routes[i % routes.length] ?? "support-answer", baseline: `${name}@${older}`, candidate: `${name}@${newer}` };
  });
}

export function versionsOf(names: Dealt): RolloutSpec["versions"] {
  return {
    [names.baseline]: { upstream: upstreamName, model: names.baseline },
    [names.candidate]: { upstream: upstreamName, model: names.candidate },
  };
}

/** The built-in stories. With `swapGood` the second candidate is a healthy one, and must then end `done`. */
export function builtInStories(seed: number, swapGood: boolean): Story[] {
  const [good, bad, slow, turned] = deal(seed, 4) as [Dealt, Dealt, Dealt, Dealt];
  const story = (title: string, names: Dealt, behaviour: Behaviour, ending: Ending, callsPerSecond: number, index: number): Story => {
    const calls = publishedCalls(seed * 100 + index, { [names.baseline]: march, [names.candidate]: behaviour }, 600, index === 1 ? 1 : 0.4);
    return {
      title,
      ...names,
      spec: {
        ...names,
        versions: versionsOf(names),
        signals: [wideSignals.schema, wideSignals.task, wideSignals.errors, wideSignals.latency, wideSignals.cost, wideSignals.tokens],
        judge: { rubric: "task@1", budget: "900/min" },
        schema: { source: "json", jsonSchema: answerSchema, fence: "forbidden" },
        ...compressed,
      },
      calls,
      prompts: promptsOf(calls, names.baseline),
      callsPerSecond,
      ending,
    };
  };
  return [
    story("as good", good, asGood, "done", 34, 0),
    swapGood ? story("as good (swapped in)", bad, asGood, "done", 30, 1) : story("worse in reality", bad, june, "rolled_back", 22, 1),
    story("as good, but slower", slow, slower, "frozen_by_cohort", 16, 2),
    driftStory(seed, turned),
  ];
}

/** A candidate that is as good is done; later its provider changes what is behind the name, to what became of it in reality. */
function driftStory(seed: number, names: Dealt): Story {
  const becomes = `${names.candidate} (changed)`;
  const calls = publishedCalls(seed * 100 + 3, { [names.baseline]: march, [names.candidate]: asGood, [becomes]: june }, 600, 1);
  const schema = { source: "json", jsonSchema: answerSchema, fence: "forbidden" } as const;
  return turnedStory({ title: "changed by its provider", names, becomes, calls, schema, right: '"answer":"yes"' });
}

interface Turned {
  readonly title: string;
  readonly names: Dealt;
  readonly becomes: string;
  readonly calls: readonly RecordedCall[];
  readonly schema: NonNullable<RolloutSpec["schema"]>;
  /** What the answers to golden prompts must contain. */
  readonly right: string;
}

/** A route on which no rollout runs any more when the calls of its version are answered by another one. */
export function turnedStory({ title, names, becomes, calls, schema, right }: Turned): Story {
  return {
    title,
    ...names,
    spec: {
      ...names,
      versions: versionsOf(names),
      signals: [wideSignals.schema, wideSignals.task, wideSignals.errors, wideSignals.latency],
      judge: { rubric: "task@1", budget: "900/min" },
      schema,
      ...compressed,
      ...watchedForDrift(goldenPrompts(calls, names.candidate, /prime/, right)),
    },
    calls,
    prompts: promptsOf(calls, names.baseline),
    callsPerSecond: 16,
    ending: "rerouted",
    turn: { model: names.candidate, becomes },
  };
}
