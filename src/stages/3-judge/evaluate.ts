import type { Sample, Score } from "../../../topics/index.ts";
import { hash32 } from "../../domain/hash/hash32.ts";
import { type Item, type ItemResult, itemOf } from "../../domain/judging/item.ts";
import type { Rubric, RubricSignal } from "../../domain/judging/rubric.ts";
import { failedVerdict, pairVerdict, type SideVerdict, verdictOf } from "../../domain/judging/verdict.ts";
import { type Asked, type AskParts, ask } from "./ask.ts";
import type { JudgeConfig } from "./config.ts";
import { evaluatorVersion, scoreId, sha256 } from "./digest.ts";
import type { RubricSource } from "./rubric-source.ts";
import type { VerdictCache } from "./verdict-cache.ts";

/** Signal under which a sample is reported whose rubric is not known, so that people see it in `windows`. */
export const unknownRubric = "unknown_rubric";
const longestRationale = 300;
const tooLong = "the call is longer than its record: it was cut, and nobody judges half of it";
/** Seed of the order in which the two sides of a pair are judged. */
const orderSeed = 0x6a756467;

export interface EvaluateParts extends AskParts {
  readonly config: JudgeConfig;
  readonly rubrics: RubricSource;
  /** null: every item is asked. */
  readonly cache: VerdictCache | null;
  /** Told about samples that cannot be judged for a reason that a person has to mend. */
  readonly onProblem: (problem: string, about: { readonly route: string }) => void;
}

/** Judges a sample by every rubric that is wanted: one score per rubric. Rejects only when the signal aborts. */
export async function evaluate(parts: EvaluateParts, sample: Sample, signal: AbortSignal): Promise<Score[]> {
  const digests = [...new Set(sample.rubrics)];
  return Promise.all(digests.map((digest) => evaluateBy(parts, sample, digest, signal)));
}

async function evaluateBy(parts: EvaluateParts, sample: Sample, digest: string, signal: AbortSignal): Promise<Score> {
  const found = await parts.rubrics.find(digest, signal);
  if (found.kind === "missing") {
    parts.onProblem(found.problem, sample);
    const result = { signal: unknownRubric, form: "binary" as const, status: "failed" as const, value: null, twinValue: null, rationale: found.problem };
    return scoreOf(sample, { evaluator: digest, version: evaluatorVersion(digest, parts.config), costUsd: null, latencyMs: 0, results: [result] });
  }
  const { rubric, text } = found;
  const version = evaluatorVersion(text, parts.config);
  const { side, twin } = await judgeSides(parts, rubric, version, sample, signal);
  const results = rubric.signals.map((wanted) => resultOf(wanted, side, twin));
  for (const { status } of results) parts.metrics.scores.inc({ status });
  const asked = twin === null ? [side] : [side, twin];
  const costs = asked.flatMap(({ costUsd }) => (costUsd === null ? [] : [costUsd]));
  return scoreOf(sample, {
    evaluator: rubric.name,
    version,
    costUsd: costs.length === 0 ? null : costs.reduce((sum, cost) => sum + cost, 0),
    latencyMs: asked.reduce((sum, { latencyMs }) => sum + latencyMs, 0),
    results,
  });
}

/** A side that nobody was asked about, and why. */
interface Unasked {
  readonly kind: "nothing" | "unasked";
  readonly problem: string;
  readonly costUsd: null;
  readonly latencyMs: 0;
}
/** What one side came to. */
type Side = Asked | Unasked;

const unasked: Unasked = { kind: "unasked", problem: "the other side of the pair could not be judged", costUsd: null, latencyMs: 0 };

/**
 * A pair is two calls by the same rubric, in an order that a hash draws. Both sides or neither: nothing is asked about a
 * pair with a side that there is nothing to ask about, and not about the second side when the first cannot be judged.
 */
async function judgeSides(
  parts: EvaluateParts,
  rubric: Rubric,
  version: string,
  sample: Sample,
  signal: AbortSignal,
): Promise<{ side: Side; twin: Side | null }> {
  const { twin } = sample;
  if (sample.cut) {
    parts.metrics.failures.inc({ reason: "cut" });
    return { side: nothing(tooLong), twin: twin === null ? null : nothing(tooLong) };
  }
  const itemIn = (response: string | null) => itemOf(sample.requestBody, response, { context: rubric.context, reference: sample.reference });
  const own = itemIn(sample.responseBody);
  const other: ItemResult | null =
    twin === null ? null : twin.status === "ok" ? itemIn(twin.responseBody) : { kind: "nothing", problem: "the twin was not answered" };
  if (own.kind === "nothing" || other?.kind === "nothing") {
    parts.metrics.failures.inc({ reason: "nothing_to_judge" });
    return { side: own.kind === "nothing" ? nothing(own.problem) : unasked, twin: other && (other.kind === "nothing" ? nothing(other.problem) : unasked) };
  }
  const judge = ({ item }: { readonly item: Item }) => judgeItem(parts, rubric, version, item, signal);
  if (other === null) return { side: await judge(own), twin: null };
  const isOwnFirst = (hash32(sample.requestId, orderSeed) & 1) === 0;
  const first = await judge(isOwnFirst ? own : other);
  const second = first.kind === "answered" ? await judge(isOwnFirst ? other : own) : unasked;
  return isOwnFirst ? { side: first, twin: second } : { side: second, twin: first };
}

function nothing(problem: string): Unasked {
  return { kind: "nothing", problem, costUsd: null, latencyMs: 0 };
}

async function judgeItem(parts: EvaluateParts, rubric: Rubric, version: string, item: Item, signal: AbortSignal): Promise<Asked> {
  const askIt = async () => {
    const asked = await ask(parts, rubric, item, signal);
    if (asked.kind === "failed") parts.metrics.failures.inc({ reason: asked.reason });
    return asked;
  };
  if (parts.cache === null) return askIt();
  const { asked, isHit } = await parts.cache.get(sha256(JSON.stringify([version, item])), signal, askIt);
  if (!isHit) return asked;
  parts.metrics.cacheHits.inc();
  return { ...asked, costUsd: asked.costUsd === null ? null : 0, latencyMs: 0 };
}

function sideVerdict(signal: RubricSignal, side: Side): SideVerdict {
  return side.kind === "answered" ? verdictOf(signal, side.signals[signal.name]?.criteria ?? {}) : failedVerdict;
}

function resultOf(signal: RubricSignal, side: Side, twin: Side | null): Score["results"][number] {
  const verdict = pairVerdict(sideVerdict(signal, side), twin === null ? null : sideVerdict(signal, twin));
  const form = signal.form === "score" ? "grid" : "binary";
  return { signal: signal.name, form, ...verdict, rationale: rationaleOf(signal, side, twin).slice(0, longestRationale) };
}

function rationaleOf(signal: RubricSignal, side: Side, twin: Side | null): string {
  // Of a pair that could not be judged, the side that stood in the way says why.
  const unjudged = [side, twin].flatMap((each) => (each === null || each.kind === "answered" ? [] : [each]));
  const reason = unjudged.find(({ kind }) => kind !== "unasked");
  if (reason !== undefined) return reason.problem;
  if (side.kind !== "answered") return "";
  const { criteria, reasoning } = side.signals[signal.name] ?? { criteria: {}, reasoning: "" };
  const open = signal.criteria.filter(({ id }) => criteria[id] !== "yes").map(({ id }) => `${id}: ${criteria[id] ?? "unsure"}`);
  return [...(open.length === 0 ? [] : [`[${open.join(", ")}]`]), reasoning.trim()].join(" ");
}

function scoreOf(
  sample: Sample,
  about: {
    readonly evaluator: string;
    readonly version: string;
    readonly costUsd: number | null;
    readonly latencyMs: number;
    readonly results: Score["results"];
  },
): Score {
  const { rubrics: _rubrics, cut: _cut, requestBody: _request, responseBody: _response, reference: _reference, twin: _twin, ...attribution } = sample;
  return {
    ...attribution,
    scoreId: scoreId(sample.requestId, about.version),
    evaluator: about.evaluator,
    evaluatorVersion: about.version,
    weight: sample.samplePpm > 0 ? 1e6 / sample.samplePpm : 1,
    costUsd: about.costUsd,
    judgeLatencyMs: about.latencyMs,
    results: about.results,
  };
}
