import type { Sample, Score } from "../../../topics/index.ts";
import { hash32 } from "../../domain/hash/hash32.ts";
import { itemOf } from "../../domain/judging/item.ts";
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

/** What one side came to: what was asked, or why it could not be. */
type Side = Asked | { readonly kind: "nothing"; readonly problem: string; readonly costUsd: null; readonly latencyMs: 0 };

/** A pair is two calls by the same rubric, in an order that a hash draws; when the first cannot be judged, the second is not asked. */
async function judgeSides(
  parts: EvaluateParts,
  rubric: Rubric,
  version: string,
  sample: Sample,
  signal: AbortSignal,
): Promise<{ side: Side; twin: Side | null }> {
  const own = () => judgeSide(parts, rubric, version, sample, sample.responseBody, signal);
  const { twin } = sample;
  if (twin === null) return { side: await own(), twin: null };
  const other = () =>
    twin.status === "ok" ? judgeSide(parts, rubric, version, sample, twin.responseBody, signal) : Promise.resolve(nothing("the twin was not answered"));
  const ownFirst = (hash32(sample.requestId, orderSeed) & 1) === 0;
  const first = await (ownFirst ? own() : other());
  const second = first.kind === "answered" ? await (ownFirst ? other() : own()) : nothing("the other side of the pair could not be judged");
  return ownFirst ? { side: first, twin: second } : { side: second, twin: first };
}

function nothing(problem: string): Side {
  return { kind: "nothing", problem, costUsd: null, latencyMs: 0 };
}

async function judgeSide(parts: EvaluateParts, rubric: Rubric, version: string, sample: Sample, response: string | null, signal: AbortSignal): Promise<Side> {
  const result = itemOf(sample.requestBody, response, { context: rubric.context, reference: sample.reference });
  if (result.kind === "nothing") {
    parts.metrics.failures.inc({ reason: "nothing_to_judge" });
    return nothing(result.problem);
  }
  const { item } = result;
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
  return side.kind === "answered" ? verdictOf(signal, side.answers[signal.name] ?? {}) : failedVerdict;
}

function resultOf(signal: RubricSignal, side: Side, twin: Side | null): Score["results"][number] {
  const verdict = pairVerdict(sideVerdict(signal, side), twin === null ? null : sideVerdict(signal, twin));
  const form = signal.form === "score" ? "grid" : "binary";
  return { signal: signal.name, form, ...verdict, rationale: rationaleOf(signal, side, twin).slice(0, longestRationale) };
}

function rationaleOf(signal: RubricSignal, side: Side, twin: Side | null): string {
  // Of a pair that could not be judged, the side that was asked says why.
  const unjudged = [side, twin].flatMap((each) => (each === null || each.kind === "answered" ? [] : [each]));
  const reason = unjudged.find(({ kind }) => kind === "failed") ?? unjudged[0];
  if (reason !== undefined) return reason.problem;
  if (side.kind !== "answered") return "";
  const answers = side.answers[signal.name] ?? {};
  const open = signal.criteria.filter(({ id }) => answers[id] !== "yes").map(({ id }) => `${id}: ${answers[id] ?? "unsure"}`);
  return [...(open.length === 0 ? [] : [`[${open.join(", ")}]`]), side.reasoning.trim()].join(" ");
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
  const { rubrics: _rubrics, requestBody: _request, responseBody: _response, reference: _reference, twin: _twin, ...attribution } = sample;
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
