import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, logLevel } from "kafkajs";
import { pino } from "pino";
import { run } from "../../src/cli/run.ts";
import { version } from "../../src/config/version.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import type { Incoming, LogClient, Outgoing, Running } from "../../src/runtime/port.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { decider } from "../../src/stages/5-decider/main.ts";
import {
  type Aggregate,
  aggregates,
  allTopics,
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
  type Topic,
  type ValueOf,
} from "../../topics/index.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { deps, good, spec as specOf, taskRubric, World } from "../fixtures/rollout-world.ts";
import { until } from "../fixtures/until.ts";
import { fakeCli } from "../unit/cli/fake-cli.ts";

const PANE_MS = 1_000;
/** A topic among the resources that can be configured. */
const TOPIC_RESOURCE = 2;
const route = "replayed";
const silent = pino({ level: "silent" });

describe("headgate replay on a real Kafka", () => {
  const folder = mkdtempSync(join(tmpdir(), "headgate-replay-"));
  const bundle = join(folder, "replayed.jsonl.gz");
  const prefix = testPrefix();
  let options: { brokers: string[]; registryUrl: string; prefix: string };
  let log: LogClient;
  let role: Running;
  let admin: ReturnType<Kafka["admin"]>;
  const seen: Incoming[] = [];

  const of = <V>(topic: Topic) => seen.filter((found) => found.topic === topic.name && found.key === route).map(({ value }) => value) as V[];
  const record = <T extends Topic>(topic: T, key: string, value: ValueOf<T>) =>
    ({ topic, partition: log.partitionFor(topic, key), key, value }) as unknown as Outgoing;

  async function append(...records: Outgoing[]): Promise<void> {
    const appender = log.openAppender();
    await appender.append(records).finally(() => appender.close());
  }

  async function headgate(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
    const env = { KAFKA_BROKERS: options.brokers.join(","), SCHEMA_REGISTRY_URL: options.registryUrl, HEADGATE_PREFIX: prefix };
    const cli = fakeCli({ env });
    const code = await run(argv, cli);
    return { code, out: cli.lines.out.join("\n"), err: cli.lines.err.join("\n") };
  }

  let nextPaneMs = Math.floor(Date.now() / PANE_MS) * PANE_MS;
  async function pane(world: World): Promise<void> {
    const paneStartMs = nextPaneMs;
    nextPaneMs += PANE_MS;
    const about = { route, paneStartMs, paneMs: PANE_MS, round: 0, coverage: 1, watermarkMs: paneStartMs + PANE_MS };
    const blocks = world.traffic(paneStartMs);
    const groupOf = (signal: string) => (signal === "task_completion" ? "judge" : "calls");
    const close = (group: "calls" | "judge"): Aggregate => ({
      ...(blocks[0] as (typeof blocks)[number]),
      ...about,
      kindOfRecord: "close",
      group,
      ...{ rollout: "", signal: "", records: 0, sampled: 0, scored: 0, values: [], counts: [] },
    });
    const known = of(evidence).length;
    await append(
      ...blocks.map((block) => record(aggregates, route, { ...block, ...about, kindOfRecord: "block", group: groupOf(block.signal) })),
      ...(["calls", "judge"] as const).map((group) => record(aggregates, route, close(group))),
    );
    await until("the pane in evidence", () => of(evidence).length >= known + 2 || of<GateEvent>(gateEvents).at(-1)?.toPhase === "rolled_back");
  }

  /** How many records of the route a topic still has. */
  async function count(topic: Topic): Promise<number> {
    let n = 0;
    const follower = log.follow([topic], {
      from: "beginning",
      onRecord: ({ key }) => {
        if (key === route) n += 1;
      },
    });
    await follower.caughtUp.finally(() => follower.close());
    return n;
  }

  before(async () => {
    const { brokers, registryUrl } = await testCluster();
    options = { brokers: brokers.split(","), registryUrl, prefix };
    await applyTopics({ ...options, partitions: "small" });
    log = await connectLog({ ...options, clientId: "replay-test", log: silent, sessionTimeoutMs: 6_000 });
    admin = new Kafka({ brokers: options.brokers, logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    const follower = log.follow([gateEvents, routing, evidence], { from: "beginning", onRecord: (found) => void seen.push(found) });
    await follower.caughtUp;
    const tables = { brakes: log.openTable(brakes), fleet: log.openTable(fleet) };
    role = await log.runRole(decider(log, { ...tables, cap: null, deps: { ...deps, codeVersion: version }, onDecision: () => undefined }));
    const over: Partial<RolloutSpec> = { route, pane: "1s", shadow: { share: 0 }, dwell: { min: "0s", minLate: "0s", max: "24h" }, observation: "5s" };
    const declared = specOf(over);
    await append(record(rollouts, route, { route, spec: JSON.stringify(declared), digest: "", rubrics: taskRubric, actor: "ann", atMs: Date.now() }));
    const world = new World({ candidate: { ...good, schemaFail: 0.2 } });
    world.tables.push(await until("the first table", () => of<RoutingTable>(routing).at(-1)));
    for (let i = 0; i < 40 && of<GateEvent>(gateEvents).at(-1)?.toPhase !== "rolled_back"; i++) await pane(world);
    assert.equal(of<GateEvent>(gateEvents).at(-1)?.action, "rolled_back");
    await role.stop();
  });
  after(async () => {
    await role?.stop();
    await admin?.disconnect();
    await log?.close();
    await deletePrefix(options);
    rmSync(folder, { recursive: true });
  });

  it("gives the same decisions as the decider took, before and after every compacted topic was compacted", async () => {
    const first = await headgate("replay", route, "--json");
    assert.equal(first.code, 0, first.out + first.err);
    const before = JSON.parse(first.out) as { inputs: number; decisions: number };
    assert.deepEqual([before.inputs, before.decisions], [of(evidence).length, of(gateEvents).length]);

    const compacted = allTopics.filter(({ retention }) => retention.cleanup !== "delete");
    assert.ok(compacted.includes(rolloutState) && compacted.includes(routing));
    const [states, tables] = [await count(rolloutState), await count(routing)];
    assert.ok(states > 2 && tables >= 2, `${states} states and ${tables} tables before`);
    await admin.alterConfigs({
      validateOnly: false,
      resources: compacted.map((topic) => ({
        type: TOPIC_RESOURCE,
        name: prefix + topic.name,
        configEntries: Object.entries({
          "cleanup.policy": "compact",
          "segment.ms": "100",
          "min.cleanable.dirty.ratio": "0.01",
          "max.compaction.lag.ms": "100",
          "delete.retention.ms": "0",
        }).map(([name, value]) => ({ name, value })),
      })),
    });
    // The segment that is written to is never compacted: a record behind the old ones closes it.
    const nobody = (topic: Topic) =>
      [...Array(log.partitionsOf(topic)).keys()].map((partition) => ({ topic, partition, key: "nobody", value: null }) as Outgoing);
    await until(
      "the compaction",
      async () => {
        await append(...compacted.flatMap(nobody));
        await sleep(1_000);
        return (await count(rolloutState)) === 1 && (await count(routing)) === 1;
      },
      90_000,
    );

    const again = await headgate("replay", route, "--json");
    assert.equal(again.code, 0, again.out + again.err);
    assert.deepEqual(JSON.parse(again.out), JSON.parse(first.out));
  });

  it("one file holds the history; from it the decisions are recomputed with no Kafka", async () => {
    const exported = await headgate("evidence", "export", of<GateEvent>(gateEvents)[0]?.rollout ?? "", "--out", bundle, "--json");
    assert.equal(exported.code, 0, exported.err);
    assert.equal((JSON.parse(exported.out) as { evidence: number }).evidence, of(evidence).length);
    const cli = fakeCli({ env: { KAFKA_BROKERS: "127.0.0.1:1" } });
    assert.equal(await run(["replay", "--bundle", bundle], cli), 0, cli.lines.err.join("\n"));
    assert.equal((await headgate("evidence", "export", "unknown", "--out", join(folder, "none.gz"))).code, 5);
    assert.equal((await headgate("replay", "unknown")).code, 5);
  });

  it("names the offsets that retention has removed, and ends with 3; the file still tells everything", async () => {
    const entries = seen.filter(({ topic, key }) => topic === evidence.name && key === route);
    const cut = entries[3];
    assert.ok(cut);
    await admin.deleteTopicRecords({ topic: prefix + evidence.name, partitions: [{ partition: cut.partition, offset: String(cut.offset) }] });
    const { code, out } = await headgate("replay", route);
    assert.equal(code, 3, out);
    assert.match(
      out,
      new RegExp(`missing: evidence 1 to ${(cut.value as EvidenceEntry).seq - 1}, offsets 0 to ${cut.offset - 1} of partition ${cut.partition}`),
    );
    const cli = fakeCli({});
    assert.equal(await run(["replay", "--bundle", bundle], cli), 0);
  });
});
