import { z } from "zod";
import { condition, phase } from "./7-gate-events.ts";
import { atMs, count, defineTopic, int, maybe, openEnum, type ValueOf } from "./define.ts";

/** The decider's changelog: the reducer's state of one route, and the head of it that others may read. */
export const rolloutState = defineTopic({
  name: "rollout-state",
  about: "The decider's state of a route (its changelog); the named fields are the public head, `state` is private.",
  shape: z.object({
    route: z.string(),
    seq: count(),
    atMs: atMs(),
    rollout: z.string(),
    attempt: count(),
    phase,
    condition,
    step: int(),
    epoch: count(),
    reasons: z.array(z.string()),
    message: z.string().describe("what it waits for, in one sentence"),
    waiting: z.string().describe("declared specs that wait for their turn or an approval, in one sentence; empty: none"),
    candidatePpm: count().describe("candidate's share of subjects of the rollout under way, parts per million; 0: none is"),
    callsPerMinute: z.number().describe("calls of the route per minute as its decider knows them; 0: not known"),
    watch: maybe(
      z.object({
        version: z.string(),
        standing: openEnum("taking", "watched", "drifted").describe("taking: the reference is being taken, nothing can be detected yet"),
        sinceMs: atMs(),
        golden: openEnum("none", "taking", "passing", "failing").describe("golden prompts; none: none were run"),
        message: z.string(),
      }),
    ).describe("where the drift watch of what serves stands; null: nothing is watched"),
    layout: count().describe("layout number of `state`; an unknown one pauses the task"),
    state: z.string().describe("JSON of the reducer's state"),
  }),
  key: "route",
  partitions: "routes",
  retention: { cleanup: "compact" },
  writers: ["decider"],
  readers: ["decider", "control"],
});
export type StateEntry = ValueOf<typeof rolloutState>;
