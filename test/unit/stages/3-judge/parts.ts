import { randomBytes } from "node:crypto";
import { Registry } from "prom-client";
import { builtinRubrics } from "../../../../src/domain/judging/builtin.ts";
import { configuration } from "../../../../src/stages/3-judge/config.ts";
import { rubricDigest } from "../../../../src/stages/3-judge/digest.ts";
import { EndpointGate } from "../../../../src/stages/3-judge/endpoint-gate.ts";
import type { EvaluateParts } from "../../../../src/stages/3-judge/evaluate.ts";
import { JudgeMetrics } from "../../../../src/stages/3-judge/metrics.ts";
import { modelClient } from "../../../../src/stages/3-judge/model-client.ts";
import { RubricSource } from "../../../../src/stages/3-judge/rubric-source.ts";
import { VerdictCache } from "../../../../src/stages/3-judge/verdict-cache.ts";
import type { CatalogEntry, Sample } from "../../../../topics/index.ts";
import { bodyWith, callWith } from "../../domain/signals/call-fixture.ts";

/** A catalog in memory. */
export class FakeCatalog {
  readonly #entries = new Map<string, CatalogEntry>();
  readonly #listeners: ((key: string) => void)[] = [];

  get(digest: string): CatalogEntry | undefined {
    return this.#entries.get(digest);
  }
  onChange(listener: (key: string) => void): void {
    this.#listeners.push(listener);
  }
  put(text: string): string {
    const digest = rubricDigest(text);
    this.#entries.set(digest, { digest, kind: "rubric", name: "any@1", text, atMs: 1 });
    for (const listener of this.#listeners) listener(digest);
    return digest;
  }
}

export const digestOf = (name: string): string => rubricDigest(builtinRubrics.find((rubric) => rubric.name === name)?.text ?? "");

/** A sample of the candidate's answer, to be judged by task@1. */
export function sampleWith(changes: Partial<Sample> & { readonly answer?: string } = {}): Sample {
  const { requestId, route, rollout, attempt, step, epoch, arm, version, exposure, subject, traceId, slices, endedAtMs, paneMs, samplePpm } = callWith();
  const attribution = { requestId, route, rollout, attempt, step, epoch, arm, version, exposure, subject, traceId, slices, endedAtMs, paneMs, samplePpm };
  const { answer = "Yes", ...rest } = changes;
  const bodies = { requestBody: callWith().requestBody, responseBody: bodyWith(answer), reference: null, twin: null };
  return { ...attribution, cut: false, ...bodies, rubrics: [digestOf("task@1")], ...rest };
}

/** Everything that `evaluate` needs, for an endpoint. Pauses are as short as dice of 0 make them. */
export function partsFor(
  url: string,
  about: { readonly env?: Readonly<Record<string, string>>; readonly catalog?: FakeCatalog; readonly rubricWaitMs?: number; readonly now?: () => number } = {},
) {
  const config = configuration.parse({ HEADGATE_JUDGE_BASE_URL: url, HEADGATE_JUDGE_MODEL: "judge-1", HEADGATE_JUDGE_API_KEY: "secret-key", ...about.env });
  const registry = new Registry();
  const metrics = new JudgeMetrics(registry);
  const changes: string[] = [];
  const problems: string[] = [];
  const outages: { problem: string; isConfiguration: boolean }[] = [];
  const now = about.now ?? Date.now;
  const gate = new EndpointGate({ concurrency: config.HEADGATE_JUDGE_CONCURRENCY, now, metrics, onChange: (state) => changes.push(state) });
  const parts: EvaluateParts = {
    config,
    askOnce: modelClient(config, now),
    gate,
    metrics,
    rubrics: new RubricSource(about.catalog ?? new FakeCatalog(), { waitMs: about.rubricWaitMs ?? 60_000, now: Date.now }),
    cache: config.HEADGATE_JUDGE_CACHE === "1" ? new VerdictCache(100) : null,
    deadlineMs: config.HEADGATE_JUDGE_DEADLINE_MS,
    now,
    dice: () => 0,
    nonce: () => randomBytes(12).toString("hex"),
    onOutage: (problem, isConfiguration) => outages.push({ problem, isConfiguration }),
    onProblem: (problem) => problems.push(problem),
  };
  const counted = async (name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> => {
    const values = (await registry.getSingleMetric(`headgate_judge_${name}`)?.get())?.values ?? [];
    return values.filter((value) => Object.entries(labels).every(([label, text]) => value.labels[label] === text)).reduce((sum, { value }) => sum + value, 0);
  };
  return { parts, gate, counted, changes, problems, outages };
}

export const never = new AbortController().signal;
