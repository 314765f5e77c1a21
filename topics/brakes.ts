import { z } from "zod";
import { atMs, count, defineTopic, type ValueOf } from "./define.ts";

/** An operator's stop, obeyed by every gateway without the decider; it only ever moves traffic down. */
export const brakes = defineTopic({
  name: "brakes",
  about: "A stop for one attempt of a route's rollout (route `*`: all routes). Never lifted for an attempt; only `*` can be cleared.",
  shape: z.object({
    route: z.string(),
    rollout: z.string(),
    attempt: count(),
    cleared: z.boolean().describe("only with route `*`"),
    reason: z.string(),
    actor: z.string(),
    atMs: atMs(),
  }),
  key: "route",
  partitions: 1,
  retention: { cleanup: "compact" },
  writers: ["control", "cli"],
  readers: ["gateway", "decider", "control"],
});
export type Brake = ValueOf<typeof brakes>;
