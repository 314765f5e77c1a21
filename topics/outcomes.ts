import { z } from "zod";
import { atMs, days, defineTopic, type ValueOf } from "./define.ts";

/** What became of a call later, told by any system that kept the outcome token. */
export const outcomes = defineTopic({
  name: "outcomes",
  about: "A downstream event about an earlier call (form filled, thumbs, repeated question), by signed outcome token.",
  shape: z.object({
    token: z.string().describe("x-headgate-outcome-token of the call"),
    signal: z.string(),
    value: z.number().min(0).max(1).describe("0 worst, 1 best"),
    occurredAtMs: atMs(),
    source: z.string(),
  }),
  key: "subject",
  partitions: 6,
  retention: { cleanup: "delete", retentionMs: days(7) },
  writers: ["any system"],
  readers: ["aggregator"],
});
export type Outcome = ValueOf<typeof outcomes>;
