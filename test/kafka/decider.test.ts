import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { pino } from "pino";
import type { ReducerInput } from "../../src/domain/rollout/input.ts";
import { reduce } from "../../src/domain/rollout/reduce.ts";
import { initialState } from "../../src/domain/rollout/state.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import type { Incoming, LogClient, Outgoing, Running } from "../../src/runtime/port.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { decider } from "../../src/stages/5-decider/main.ts";
import {
  type Aggregate,
  aggregates,
  brakes,
  type EvidenceEntry,
  evidence,
  fleet,
  type GateEvent,
  gateEvents,
  type RolloutSpec,
  type RoutingTable,
  rolloutState,
  rollouts,
  routing,
  type StateEntry,
  type Topic,
  type ValueOf,
} from "../../topics/index.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { type Behaviour, deps, good, spec as specOf, taskRubric, World } from "../fixtures/rollout-world.ts";
import { until } from "../fixtures/until.ts";

const prefix = testPrefix();
const silent = pino({ level: "silent" });
const PANE_MS = 1_000;

/** A spec without waiting times, on a route of its own. */
function fastSpec(route: string, over: Partial<RolloutSpec> = {}): RolloutSpec {
  return specOf({ route, pane: "1s", shadow: { share: 100, minDwell: "0s" }, dwell: { min: "0s", minLate: "0s", max: "24h" }, observation: "5s", ...over });
}

describe("the decider on a real Kafka", () => {
  let log: LogClient;
  let options: { brokers: string[]; registryUrl: string; prefix: string };
  const seen: Incoming[] = [];
  const running: Running[] = [];
  let nextPaneMs = Math.floor(Date.now() / PANE_MS) * PANE_MS;

  const of = <V>(topic: Topic, route: string) =>
    seen.filter((record) => record.topic === topic.name && record.key === route).map((record) => record.value) as V[];
  const events = (route: string) => of<GateEvent>(gateEvents, route);
  const tableOf = (route: string) => of<RoutingTable>(routing, route).at(-1);

  async function append(...records: Outgoing[]): Promise<void> {
    const appender = log.openAppender();
    await appender.append(records).finally(() => appender.close());
  }
  const record = <T extends Topic>(topic: T, key: string, value: ValueOf<T>, partition = log.partitionFor(topic, key)) =>
    ({ topic, partition, key, value }) as unknown as Outgoing;

  async function declare(spec: RolloutSpec, partition?: number): Promise<void> {
    const value = { route: spec.route, spec: JSON.stringify(spec), digest: "", rubrics: taskRubric, actor: "ann", atMs: Date.now() };
    await append(record(rollouts, spec.route, value, partition));
  }

  function paneRecords(route: string, candidate: Behaviour): { blocks: Outgoing[]; closes: Outgoing[] } {
    const world = new World({ candidate, seed: nextPaneMs % 1_000_003 });
    const table = tableOf(route);
    assert.ok(table, "no table yet");
    world.tables.push(table);
    const paneStartMs = nextPaneMs;
    nextPaneMs += PANE_MS;
    const pane = { route, paneStartMs, paneMs: PANE_MS, round: 0, coverage: 1, watermarkMs: paneStartMs + PANE_MS };
    const blocks = world.traffic(paneStartMs);
    const groupOf = (signal: string) => (signal === "task_completion" ? "judge" : "calls");
    const close = (group: "calls" | "judge"): Aggregate => ({
      ...(blocks[0] as (typeof blocks)[number]),
      ...pane,
      kindOfRecord: "close",
      group,
      rollout: "",
      signal: "",
      records: 0,
      sampled: 0,
      scored: 0,
      values: [],
      counts: [],
    });
    return {
      blocks: blocks.map((block) => record(aggregates, route, { ...block, ...pane, kindOfRecord: "block", group: groupOf(block.signal) })),
      closes: (["calls", "judge"] as const).map((group) => record(aggregates, route, close(group))),
    };
  }
  async function pane(route: string, candidate: Behaviour): Promise<void> {
    const { blocks, closes } = paneRecords(route, candidate);
    const before = of<EvidenceEntry>(evidence, route).length;
    await append(...blocks, ...closes);
    await until("the pane in evidence", () => of(evidence, route).length >= before + 2 || events(route).at(-1)?.toPhase === "rolled_back");
  }

  async function startDecider(): Promise<Running> {
    const tables = { brakes: log.openTable(brakes), fleet: log.openTable(fleet) };
    const role = await log.runRole(decider(log, { ...tables, cap: null, deps, onDecision: () => undefined }));
    running.push(role);
    return role;
  }

  before(async () => {
    const { brokers, registryUrl } = await testCluster();
    options = { brokers: brokers.split(","), registryUrl, prefix };
    await applyTopics({ ...options, partitions: "small" });
    log = await connectLog({ ...options, clientId: "decider-test", log: silent, sessionTimeoutMs: 6_000 });
    const follower = log.follow([gateEvents, routing, evidence, rolloutState], { from: "beginning", onRecord: (found) => void seen.push(found) });
    await follower.caughtUp;
  });
  afterEach(async () => {
    for (const role of running.splice(0)) await role.stop();
  });
  after(async () => {
    await log?.close();
    await deletePrefix(options);
  });

  it("a spec and blocks lead to tables, events and a journal from which every decision can be recomputed", async () => {
    const route = "broken-schema";
    await startDecider();
    await declare(fastSpec(route));
    const first = await until("the first table", () => tableOf(route));
    assert.deepEqual([first.phase, first.shadowPpm, first.rubrics], ["shadow", 1_000_000, taskRubric]);
    // Event and table come from two brokers, in any order; the table of a rollback has no traffic to be counted.
    const isOver = () => events(route).at(-1)?.toPhase === "rolled_back" || tableOf(route)?.phase === "rolled_back";
    for (let i = 0; i < 12 && !isOver(); i++) await pane(route, { ...good, schemaFail: 0.2 });
    const last = await until("the rollback", () => events(route).find(({ action }) => action === "rolled_back"));
    assert.deepEqual(
      [last.fromPhase, last.reasons, last.gates.find(({ verdict }) => verdict === "roll_back")?.gate],
      ["shadow", ["signal_breach"], "confidence"],
    );

    const table = await until("the last table", () => (tableOf(route)?.phase === "rolled_back" ? tableOf(route) : undefined));
    assert.deepEqual([table.epoch, table.gateEventId, table.rollout, table.ranges.length], [last.epoch, last.id, "", 1]);
    await until("the last state", () => of<StateEntry>(rolloutState, route).at(-1)?.phase === "rolled_back");

    const { headers } = seen.find(({ topic, key, value }) => topic === gateEvents.name && key === route && (value as GateEvent).id === last.id) as Incoming;
    assert.equal(headers.ce_type, "headgate.rollout.rolled_back.v1");
    assert.deepEqual([headers.ce_id, headers.ce_subject, headers.ce_specversion, headers["content-type"]], [last.id, route, "1.0", "application/avro"]);
    assert.equal(headers.ce_time, new Date(last.atMs).toISOString());

    await until("the journal of it", () => of<EvidenceEntry>(evidence, route).some(({ seq }) => seq >= last.evidenceSeq));
    const journal = of<EvidenceEntry>(evidence, route);
    assert.deepEqual(
      journal.map(({ seq }) => seq),
      journal.map((_, i) => i + 1),
    );
    let state = initialState(route);
    const replayed: GateEvent[] = [];
    for (const entry of journal) {
      const step = reduce(state, JSON.parse(entry.input) as ReducerInput, deps);
      state = step.state;
      for (const decision of step.decisions) if (decision.kind === "gate-event") replayed.push(decision.event);
    }
    assert.deepEqual(replayed, events(route));
  });

  it("a decider that stops between the blocks and the close of a pane leaves nothing undone and nothing done twice", async () => {
    const route = "restarted";
    const one = await startDecider();
    await declare(fastSpec(route));
    await until("the first table", () => tableOf(route));
    await pane(route, good);
    const { blocks, closes } = paneRecords(route, good);
    await append(...blocks);
    // Another route of the same task moves, so that the blocks that wait are behind a commit.
    const neighbour =
      ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].find((name) => log.partitionFor(rollouts, name) === log.partitionFor(rollouts, route)) ?? "";
    await declare(fastSpec(neighbour, { baseline: "old@1", candidate: "old@1" }));
    await until("the refusal", () => events(neighbour)[0]);
    await one.stop();
    running.splice(0);
    await startDecider();
    await append(...closes);
    await until("the pane after the restart", () => of(evidence, route).length >= 5);
    for (let i = 0; i < 12 && events(route).at(-1)?.toPhase === "shadow"; i++) await pane(route, good);
    const panes = of<EvidenceEntry>(evidence, route)
      .filter(({ kind }) => kind === "pane")
      .map(({ input }) => JSON.parse(input) as { group: string; paneStartMs: number; blocks: unknown[] });
    assert.equal(new Set(panes.map(({ group, paneStartMs }) => `${group} ${paneStartMs}`)).size, panes.length, "no pane twice");
    assert.ok(
      panes.every((found) => found.blocks.length > 0),
      "and none without its blocks",
    );
    const journal = of<EvidenceEntry>(evidence, route);
    assert.deepEqual(
      journal.map(({ seq }) => seq),
      journal.map((_, i) => i + 1),
    );
    await until("the first served step", () => events(route).some(({ action, toPhase }) => action === "advanced" && toPhase === "canary"));
  });

  it("a spec in a foreign partition is forwarded; a bad one and an unknown upstream are told, with the fix", async () => {
    await startDecider();
    const route = "forwarded";
    const right = log.partitionFor(rollouts, route);
    await declare(fastSpec(route), (right + 1) % log.partitionsOf(rollouts));
    const started = await until("the start", () => events(route)[0]);
    assert.equal(started.action, "started");
    assert.equal(seen.find(({ topic, key }) => topic === gateEvents.name && key === route)?.partition, log.partitionFor(gateEvents, route));

    await append(record(rollouts, "not-json", { route: "not-json", spec: "{", digest: "", rubrics: [], actor: "ann", atMs: 1 }));
    const refused = await until("the refusal", () => events("not-json")[0]);
    assert.deepEqual([refused.action, refused.reasons, refused.toPhase], ["held", ["spec_refused"], "pending"]);
    assert.match(refused.message, /not JSON/);

    const report = { instance: "gw-7", role: "gateway", url: "", atMs: Date.now(), routes: [], upstreams: ["elsewhere"], droppedRecords: 0, stopping: false };
    await append({ topic: fleet, partition: 0, key: "gw-7", value: report } as unknown as Outgoing);
    // The decider learns of the gateway from its table: until then a spec would be accepted.
    const told = await until("the refusal of the upstream", () => {
      const found = [...Array(50).keys()].flatMap((i) => events(`upstream-${i}`)).find(({ reasons }) => reasons.includes("spec_refused"));
      if (found === undefined && probes < 50) void declare(fastSpec(`upstream-${probes++}`));
      return found;
    });
    assert.match(told.message, /upstream: a is unknown to the live gateways gw-7/);
    await append({ topic: fleet, partition: 0, key: "gw-7", value: { ...report, stopping: true } } as unknown as Outgoing);
  });
  let probes = 0;

  it("a brake ends its attempt, with an event and a table", async () => {
    await startDecider();
    const route = "braked";
    await declare(fastSpec(route));
    const table = await until("the table", () => tableOf(route));
    const brake = { route, rollout: table.rollout, attempt: table.attempt, cleared: false, reason: "incident 7", actor: "bob", atMs: Date.now() };
    await append({ topic: brakes, partition: 0, key: route, value: brake } as unknown as Outgoing);
    const event = await until("the end", () => events(route).find(({ action }) => action === "rolled_back"));
    assert.deepEqual([event.reasons, event.actor], [["brake"], "bob"]);
    const last = await until("its table", () => (tableOf(route)?.phase === "rolled_back" ? tableOf(route) : undefined));
    assert.ok(last.epoch > table.epoch);
  });
});
