import { z } from "zod";
import { atMs, count, days, defineTopic, maybe, type ValueOf } from "./define.ts";
import { arm, exposure, statisticKind } from "./parts.ts";

/** The rolling window of one series, for people and dashboards. Never decided on. */
export const windows = defineTopic({
  name: "windows",
  about: "The rolling window (15 min by default) of one series as people and dashboards read it; refreshed every 5 s while it changes, tombstone when empty.",
  shape: z.object({
    route: z.string(),
    rollout: z.string(),
    attempt: count(),
    version: z.string(),
    arm,
    exposure,
    slice: z.string(),
    signal: z.string(),
    evaluatorVersion: z.string(),
    kind: statisticKind,
    fromMs: atMs(),
    toMs: atMs(),
    records: count(),
    sampled: count(),
    scored: count(),
    abstained: count(),
    failed: count(),
    mean: maybe(z.number()).describe("rate of good for binary signals, mean score, mean cost in USD, mean ms or tokens; null when nothing is scored"),
    standardError: maybe(z.number()),
    p50: maybe(z.number()),
    p90: maybe(z.number()),
    p95: maybe(z.number()),
    p99: maybe(z.number()),
    coverage: z.number(),
    watermarkMs: atMs(),
  }),
  key: "route and series",
  partitions: "routes",
  retention: { cleanup: "compact,delete", retentionMs: days(30) },
  writers: ["aggregator"],
  readers: ["control"],
});
export type WindowView = ValueOf<typeof windows>;
