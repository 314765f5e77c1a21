import { z } from "zod";
import { atMs, count, days, defineTopic, int, maybe, type ValueOf } from "./define.ts";
import { series, statistics } from "./parts.ts";

/** A frame: everything that one task folded since its last flush, for one partition of routes. */
export const partials = defineTopic({
  name: "partials",
  about: "A frame of additive statistics of one source partition since the last frame, for one partition of routes; also carries the source's watermark.",
  shape: z.object({
    source: z.string().describe("`requests`, `scores` or `outcomes`"),
    sourcePartition: count(),
    fromOffset: int().describe("first offset of the source that this frame covers"),
    toOffset: int().describe("first offset of the source after this frame"),
    watermarkMs: maybe(atMs()).describe("only from `requests`: no call that ended before it is still to come; null: unknown"),
    entries: z.array(
      z.object({
        ...series,
        paneStartMs: atMs(),
        paneMs: count(),
        ...statistics,
        digestMeans: z.array(z.number()).describe("raw values or t-digest centroids, for display; slice `all` only"),
        digestCounts: z.array(count()),
      }),
    ),
  }),
  key: "route partition",
  partitions: "routes",
  retention: { cleanup: "delete", retentionMs: days(1) },
  writers: ["sampler", "aggregator"],
  readers: ["aggregator"],
});
export type Frame = ValueOf<typeof partials>;
export type Entry = Frame["entries"][number];
