import { z } from "zod";
import { atMs, days, defineTopic, type ValueOf } from "./define.ts";

/** What became of a call later, told by any system that kept the outcome token. */
export const outcomes = defineTopic({
  name: "outcomes",
  about:
    "A downstream event about an earlier call (form filled, thumbs, repeated question), by sealed outcome token. Of a call and signal the first one counts.",
  shape: z.object({
    id: z.string().describe("the writer's own id of the event, to find it again; may be empty"),
    token: z.string().describe("x-headgate-outcome-token of the call"),
    signal: z.string().describe("a signal that the route's spec declares with `source: outcome`; others are not counted"),
    value: z.number().min(0).max(1).describe("0 worst, 1 best; of a pass/fail signal 0 or 1"),
    occurredAtMs: atMs().describe("when it happened; for people: an outcome belongs to the pane in which its call started"),
    source: z.string().describe("which system tells it; for people"),
  }),
  key: "token",
  partitions: 6,
  retention: { cleanup: "delete", retentionMs: days(7) },
  writers: ["gateway", "any system"],
  readers: ["aggregator"],
});
export type Outcome = ValueOf<typeof outcomes>;
