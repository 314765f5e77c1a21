import { z } from "zod";
import { days, defineTopic, maybe, type ValueOf } from "./define.ts";
import { attribution, twin } from "./parts.ts";

/** A call drawn for judging. Written by the sampler, read by the judge. */
export const samples = defineTopic({
  name: "samples",
  about: "A call drawn for judging, with its inclusion probability; a shadow call brings its twin.",
  shape: z.object({
    ...attribution,
    rubrics: z.array(z.string()).describe("digests, in `catalog`, of the rubrics wanted"),
    cut: z.boolean().describe("the call was longer than its record: nobody can judge it, and it comes without bodies"),
    requestBody: maybe(z.string()),
    responseBody: maybe(z.string()),
    reference: maybe(z.string()),
    twin,
  }),
  key: "subject",
  partitions: 12,
  retention: { cleanup: "delete", retentionMs: days(3) },
  maxBytes: 8 * 1024 * 1024,
  writers: ["sampler"],
  readers: ["judge"],
});
export type Sample = ValueOf<typeof samples>;
