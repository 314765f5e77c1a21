import { BUCKETS } from "../../../../src/domain/routing/buckets.ts";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { compileTable, type RouteTable } from "../../../../src/domain/routing/route-table.ts";
import type { RoutingTable } from "../../../../topics/index.ts";

/** A routing table in the middle of a canary: candidate at 5 %, holdback of 1 %. */
export function tableWith(changes: Partial<RoutingTable> = {}): RoutingTable {
  return {
    route: "support-answer",
    epoch: 7,
    rollout: "support-answer-b",
    attempt: 1,
    step: 1,
    phase: "canary",
    baseline: "a@1",
    candidate: "b@2",
    versions: [
      { name: "a@1", upstream: "one", model: "model-a", parameters: "{}", systemTemplate: null },
      { name: "b@2", upstream: "two", model: "model-b", parameters: '{"temperature":0}', systemTemplate: null },
    ],
    salt: "salt-1",
    ranges: rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: BUCKETS / 20, holdbackBuckets: BUCKETS / 100 }),
    shadowPpm: 0,
    samplePpm: { baseline: 100_000, candidate: 1_000_000, holdback: 50_000, shadow: 700_000 },
    paneMs: 10_000,
    windowMs: 900_000,
    callsGraceMs: 5_000,
    judgeGraceMs: 120_000,
    staleAfterMs: 60_000,
    schemaCheck: { source: "response_format", pattern: null, jsonSchema: null, fence: "forbidden" },
    rubrics: [],
    slices: [],
    outcomes: [],
    valueCaps: [],
    attemptStartedAtMs: 0,
    reason: "advanced",
    gateEventId: "event-1",
    atMs: 1_000_000,
    ...changes,
  };
}

/** The same, compiled; throws when the changes make it invalid. */
export function compiled(changes: Partial<RoutingTable> = {}): RouteTable {
  const result = compileTable(tableWith(changes), () => true);
  if (result.kind === "refused") throw new Error(result.problems.join("; "));
  return result.routeTable;
}
