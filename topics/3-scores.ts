import { z } from "zod";
import { days, defineTopic, maybe, openEnum, type ValueOf } from "./define.ts";
import { attribution } from "./parts.ts";

/** What one evaluator made of one call. Written by the judge, folded by the aggregator. */
export const scores = defineTopic({
  name: "scores",
  about: "What one evaluator made of one call; exactly one per call and evaluator version. A failure is not a low score.",
  shape: z.object({
    scoreId: z.string().describe("hash of request id and evaluator version"),
    ...attribution,
    evaluator: z.string().describe("name of the rubric, for example task@1"),
    evaluatorVersion: z.string().describe("hash of rubric, judge model and parameters"),
    weight: z.number().describe("1 / inclusion probability; for display only"),
    costUsd: maybe(z.number()),
    judgeLatencyMs: z.number(),
    results: z.array(
      z.object({
        signal: z.string(),
        form: openEnum("binary", "grid").describe("pass/fail, or a score of 0..1"),
        status: openEnum("scored", "abstained", "failed"),
        value: maybe(z.number().min(0).max(1)).describe("0 worst, 1 best; null unless scored"),
        twinValue: maybe(z.number().min(0).max(1)).describe("the served side of a pair; null when not paired"),
        rationale: z.string(),
      }),
    ),
  }),
  key: "subject",
  partitions: 6,
  retention: { cleanup: "delete", retentionMs: days(30) },
  writers: ["judge"],
  readers: ["aggregator"],
});
export type Score = ValueOf<typeof scores>;
