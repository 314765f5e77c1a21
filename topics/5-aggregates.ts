import { z } from "zod";
import { atMs, count, days, defineTopic, openEnum, type ValueOf } from "./define.ts";
import { series, statistics } from "./parts.ts";

/** Immutable statistics of one series and pane, or the mark that a pane of a route is closed. Sum blocks; they never amend each other. */
export const aggregates = defineTopic({
  name: "aggregates",
  about: "An immutable block: the statistics of one series and pane over all sources; or `close`, after the last block of a pane and group.",
  shape: z.object({
    kindOfRecord: openEnum("block", "close"),
    group: openEnum("calls", "judge", "outcome").describe("checks and calls close early; judged signals later; outcomes when they had the time to come"),
    ...series,
    paneStartMs: atMs(),
    paneMs: count(),
    round: count().describe("0 when the pane closed; late records come as rounds 1, 2, ..."),
    ...statistics,
    coverage: z.number().min(0).describe("(scored + abstained + failed) / sampled; 1 when nothing was sampled"),
    watermarkMs: atMs(),
  }),
  key: "route",
  partitions: "routes",
  retention: { cleanup: "delete", retentionMs: days(30) },
  writers: ["aggregator"],
  readers: ["decider", "control"],
});
export type Aggregate = ValueOf<typeof aggregates>;
