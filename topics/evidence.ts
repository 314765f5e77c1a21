import { z } from "zod";
import { atMs, count, days, defineTopic, openEnum, type ValueOf } from "./define.ts";

/** The decider's journal: what it consumed, in order, written in the same transaction as what it decided. */
export const evidence = defineTopic({
  name: "evidence",
  about: "What the decider consumed of a route, in order, in the transaction of what it decided; replaying it gives the same decisions.",
  shape: z.object({
    route: z.string(),
    seq: count().describe("contiguous per route, from 1"),
    atMs: atMs().describe("decision time given to the reducer, which reads no clock"),
    kind: openEnum("pane", "command", "spec", "brake", "tick"),
    input: z.string().describe("JSON of the reducer's input"),
    layout: count().describe("number of the reducer's input layout"),
    gateEventIds: z.array(z.string()),
    epoch: count().describe("epoch after this input"),
  }),
  key: "route",
  partitions: "routes",
  retention: { cleanup: "delete", retentionMs: days(365) },
  writers: ["decider"],
  readers: ["any system"],
});
export type EvidenceEntry = ValueOf<typeof evidence>;
