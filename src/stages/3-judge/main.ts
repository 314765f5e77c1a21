import { randomBytes } from "node:crypto";
import { catalog } from "../../../topics/index.ts";
import { parseConfig } from "../../config/parse-config.ts";
import type { Program } from "../../runtime/program.ts";
import { configuration } from "./config.ts";
import { EndpointGate } from "./endpoint-gate.ts";
import { type EvaluateParts, evaluate } from "./evaluate.ts";
import { judge } from "./judge-task.ts";
import { JudgeMetrics } from "./metrics.ts";
import { modelClient } from "./model-client.ts";
import { RubricSource } from "./rubric-source.ts";
import { VerdictCache } from "./verdict-cache.ts";

/** Verdicts that a process remembers. */
const cacheSize = 10_000;
/** The same complaint is logged at most this often. */
const complaintEveryMs = 30_000;

/** The judge: scores samples with an LLM by rubrics, many at a time, each published once. */
export const program: Program = {
  name: "judge",
  configuration,
  async start(context) {
    const config = parseConfig("judge", configuration, context.env);
    const log = await context.connect();
    const metrics = new JudgeMetrics(context.metrics);
    const rubricTable = log.openTable(catalog);
    await rubricTable.ready;
    const now = Date.now;
    const complain = complaints(context.log, now);
    const gate = new EndpointGate({
      concurrency: config.HEADGATE_JUDGE_CONCURRENCY,
      now,
      metrics,
      onChange: (state) => {
        if (state === "open") context.log.error("the judge's endpoint is down: samples wait until it answers again");
        else context.log.info("the judge's endpoint answers again");
      },
    });
    const parts: EvaluateParts = {
      config,
      askOnce: modelClient(config, now),
      gate,
      metrics,
      rubrics: new RubricSource(rubricTable, { waitMs: config.HEADGATE_JUDGE_RUBRIC_WAIT_MS, now }),
      cache: config.HEADGATE_JUDGE_CACHE === "1" ? new VerdictCache(cacheSize) : null,
      deadlineMs: config.HEADGATE_JUDGE_DEADLINE_MS,
      now,
      dice: Math.random,
      nonce: () => randomBytes(12).toString("hex"),
      onOutage: (problem, isConfiguration) =>
        complain(isConfiguration ? "the judge's endpoint refuses us: check HEADGATE_JUDGE_BASE_URL, _API_KEY and _MODEL" : "a call to the judge failed", {
          problem,
        }),
      onProblem: (problem, { route }) => complain("samples cannot be judged", { problem, route }),
    };
    const running = await log.runRole(
      judge({
        evaluate: (sample, signal) => evaluate(parts, sample, signal),
        partitionFor: (topic, key) => log.partitionFor(topic, key),
        // Enough for the calls to go on while finished samples wait for their transaction.
        window: Math.min(1_000, Math.max(64, config.HEADGATE_JUDGE_CONCURRENCY * 4)),
      }),
    );
    context.readiness("judge endpoint", () => !gate.isDown);
    return {
      tables: { [catalog.name]: rubricTable },
      finished: running.finished,
      async stop() {
        await running.stop();
        await rubricTable.close();
      },
    };
  },
};

/** Logs a complaint when it is new, and again after a while as long as it lasts. */
function complaints(log: { warn(fields: object, text: string): void }, now: () => number): (text: string, fields: Readonly<Record<string, string>>) => void {
  const saidAtMs = new Map<string, number>();
  return (text, fields) => {
    const key = `${text} ${Object.values(fields).join(" ")}`;
    if (now() - (saidAtMs.get(key) ?? Number.NEGATIVE_INFINITY) < complaintEveryMs) return;
    if (saidAtMs.size > 1_000) saidAtMs.clear();
    saidAtMs.set(key, now());
    log.warn(fields, text);
  };
}
