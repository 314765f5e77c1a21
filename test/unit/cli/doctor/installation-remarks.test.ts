import assert from "node:assert/strict";
import { it } from "node:test";
import { clusterRemarks, differenceRemarks, fleetRemarks, routingRemarks } from "../../../../src/cli/doctor/installation-remarks.ts";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { markAppended } from "../../../../src/runtime/append-time.ts";
import { liveGateways } from "../../../../src/stages/6-control/obedience.ts";
import type { FleetReport } from "../../../../topics/index.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";

const nowMs = 1_000_000;
const codes = (remarks: readonly { level: string; code: string }[]) => remarks.map(({ level, code }) => `${level} ${code}`);
const report = (changes: Partial<FleetReport> = {}): FleetReport => ({
  instance: "gateway-1",
  role: "gateway",
  url: "",
  atMs: nowMs,
  routes: [{ route: "support-answer", epoch: 7, braked: false, static: false }],
  upstreams: ["one", "two"],
  droppedRecords: 0,
  stopping: false,
  ...changes,
});
const tables = new Map([["support-answer", tableWith({ epoch: 7 })]]);

const cluster = { brokers: 1, clusterId: "c", addresses: ["kafka-1:9092"] };

it("of brokers: partitions without a leader are an error, replicas behind a warning; names are cut short", () => {
  const leaderless = Array.from({ length: 7 }, (_, i) => `routing-${i}`);
  const remarks = clusterRemarks({ ...cluster, brokers: 3, leaderless, behind: ["routing-0"], groups: [] });
  assert.deepEqual(codes(remarks), ["error no_leader", "warning replicas_behind"]);
  assert.match(remarks[0]?.message ?? "", /routing-4 and 2 more/);
});

it("of roles: one that nobody runs is an error, much lag a warning, but not of the half that commits late", () => {
  const group = (role: "sampler" | "aggregator-window" | "judge", members: number, lag: number | null) => ({ role, members, lag });
  const groups = [group("sampler", 2, 10_001), group("aggregator-window", 1, 1_000_000), group("judge", 0, null)];
  assert.deepEqual(codes(clusterRemarks({ ...cluster, leaderless: [], behind: [], groups })), ["warning role_behind", "warning role_missing"]);
  assert.deepEqual(codes(clusterRemarks({ ...cluster, leaderless: [], behind: [], groups: [group("sampler", 0, null)] })), ["error role_missing"]);
});

it("of routes: one whose newest table is not in the topic is an error, with the remedy; one that never had a table is none", () => {
  const states = (epoch: number) => new Map([["support-answer", { epoch }]]);
  assert.deepEqual(routingRemarks(states(7), tables), []);
  assert.deepEqual(routingRemarks(states(6), tables), []);
  assert.deepEqual(routingRemarks(states(0), new Map()), []);
  const [older] = routingRemarks(states(8), tables);
  const [gone] = routingRemarks(states(8), new Map());
  assert.deepEqual(codes([older, gone].flatMap((remark) => remark ?? [])), ["error table_lost", "error table_lost"]);
  assert.match(older?.message ?? "", /support-answer: the decider's is of epoch 8, the topic has epoch 7/);
  assert.match(gone?.message ?? "", /the topic has none; a gateway that starts serves its file's baseline/);
  assert.match(gone?.fix ?? "", /restart headgate decider/);
});

it("of gateways: who is silent or stops is none, who is behind disobeys, whose clock is ahead is told", () => {
  assert.deepEqual(fleetRemarks([report()], tables, nowMs), []);
  for (const gone of [report({ atMs: nowMs - 30_000 }), report({ stopping: true })])
    assert.deepEqual(codes(fleetRemarks([gone], tables, nowMs)), ["error no_gateway"]);
  const at = (epoch: number, isStatic: boolean) => report({ routes: [{ route: "support-answer", epoch, braked: false, static: isStatic }] });
  for (const late of [at(6, false), at(7, true), report({ routes: [] })]) assert.deepEqual(codes(fleetRemarks([late], tables, nowMs)), ["error disobeys"]);
  assert.deepEqual(fleetRemarks([at(8, false)], tables, nowMs), []);
  assert.deepEqual(codes(fleetRemarks([report({ upstreams: ["one"] })], tables, nowMs)), ["error upstream_unknown"]);
  assert.deepEqual(codes(fleetRemarks([report({ atMs: nowMs + 5_001, droppedRecords: 3 })], tables, nowMs)), ["warning clock_skew", "warning records_dropped"]);
});

it("of gateways: one whose clock is wrong lives as long as the broker hears it, and its clock is told", () => {
  const heard = (atMs: number, appendedAtMs: number) => {
    const told = report({ atMs });
    markAppended(told, appendedAtMs);
    return told;
  };
  for (const [atMs, how] of [
    [nowMs - 3_600_000, /gateway-1 is 3600 s behind/],
    [nowMs + 60_000, /gateway-1 is 60 s ahead/],
  ] as const) {
    const remarks = fleetRemarks([heard(atMs, nowMs)], tables, nowMs);
    assert.deepEqual(codes(remarks), ["warning clock_skew"]);
    assert.match(remarks[0]?.message ?? "", how);
    assert.equal(liveGateways([heard(atMs, nowMs - 29_999)], nowMs).length, 1);
    assert.equal(liveGateways([heard(atMs, nowMs - 30_000)], nowMs).length, 0);
    assert.deepEqual(codes(fleetRemarks([heard(atMs, nowMs - 30_000)], tables, nowMs)), ["error no_gateway"]);
  }
  assert.deepEqual(fleetRemarks([heard(nowMs - 25_000, nowMs - 20_000)], tables, nowMs), []);
});

it("of gateways: one that is braked while the rollout goes on is an error, and none when the rollout is over", () => {
  const braked = report({ routes: [{ route: "support-answer", epoch: 7, braked: true, static: false }] });
  const remarks = fleetRemarks([braked], tables, nowMs);
  assert.deepEqual(codes(remarks), ["error braked"]);
  assert.match(remarks[0]?.message ?? "", /gateway-1 is braked on support-answer.*canary/);
  const over = tableWith({
    epoch: 7,
    phase: "rolled_back",
    ranges: rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 0, holdbackBuckets: 0 }),
    shadowPpm: 0,
  });
  assert.deepEqual(fleetRemarks([braked], new Map([["support-answer", over]]), nowMs), []);
});

it("of topics: what is missing or compacted otherwise is an error, other settings a warning, and a choice is not undone", () => {
  const of = (setting: string, remedy: "apply" | "keep" | "refuse") =>
    differenceRemarks([{ topic: "h.routing", setting, wanted: "a", actual: "b", remedy }])[0];
  assert.deepEqual(codes([of("topic", "apply"), of("schema", "apply"), of("partitions", "refuse"), of("cleanup.policy", "apply")].flatMap((r) => r ?? [])), [
    "error topic_missing",
    "error schema_missing",
    "error layout_mismatch",
    "error topic_setting",
  ]);
  assert.equal(of("retention.ms", "keep")?.level, "warning");
  assert.match(of("retention.ms", "keep")?.fix ?? "", /somebody chose it/);
});
