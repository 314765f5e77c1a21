import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import kafkajs from "kafkajs";
import { pino } from "pino";
import { Registry } from "prom-client";
import { run } from "../../src/cli/run.ts";
import { freePort } from "../../src/dev/demo/processes.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import type { Program } from "../../src/runtime/program.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { program as sampler } from "../../src/stages/2-sampler/main.ts";
import { program as aggregator } from "../../src/stages/4-aggregator/main.ts";
import { program as decider } from "../../src/stages/5-decider/main.ts";
import { fleet, rolloutState, type StateEntry } from "../../topics/index.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { eventually, gatewayWorld, publish } from "../fixtures/gateway-world.ts";
import { fakeCli } from "../unit/cli/fake-cli.ts";
import { tableWith } from "../unit/domain/routing/table-fixture.ts";

const log = pino({ level: "silent" });

interface Where {
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  readonly prefix: string;
}

/** `headgate doctor` there: how it ends, and its remarks without their fixes. */
async function doctor({ brokers, registryUrl, prefix }: Where): Promise<{ code: number; remarks: string[]; head: string }> {
  const cli = { ...fakeCli({ env: { KAFKA_BROKERS: brokers.join(","), SCHEMA_REGISTRY_URL: registryUrl, HEADGATE_PREFIX: prefix } }), fetch };
  const code = await run(["doctor"], cli);
  const lines = cli.lines.out.join("\n").split("\n");
  assert.deepEqual(cli.lines.err, []);
  const remarks = lines.filter((line) => /^ {2}(error|warning) /.test(line)).map((line) => line.trim());
  assert.equal(lines.filter((line) => /^ {4}fix: ./.test(line)).length, remarks.length, "each says what to do");
  return { code, remarks, head: lines[0] ?? "" };
}

async function startRole(t: TestContext, program: Program, where: Where): Promise<void> {
  const client = await connectLog({ ...where, clientId: program.name, log, sessionTimeoutMs: 6_000 });
  const running = await program.start({
    env: {},
    log,
    metrics: new Registry(),
    instance: `${program.name}-test`,
    connect: async () => client,
    readiness: () => undefined,
  });
  t.after(async () => {
    await running.stop();
    // Whoever runs a program closes its connection, or it would keep this process.
    await client.close();
  });
}

describe("headgate doctor on a real Kafka", () => {
  it("says which of brokers, registry, topics and schemas is missing", async (t) => {
    const { brokers, registryUrl } = await testCluster();
    const where = { brokers: brokers.split(","), registryUrl, prefix: testPrefix() };
    const nobody = `127.0.0.1:${await freePort()}`;
    const away = await doctor({ ...where, brokers: [nobody] });
    assert.equal(away.code, 1);
    assert.match(away.remarks.join("\n"), new RegExp(`^error kafka_unreachable: Kafka at ${nobody} did not answer[^\n]*$`));

    const empty = await doctor(where);
    assert.equal(empty.code, 1);
    assert.ok(
      empty.remarks.some((remark) => remark.startsWith(`error topic_missing: the topic ${where.prefix}routing does not exist (6 partitions, `)),
      empty.remarks.join("\n"),
    );
    assert.ok(empty.remarks.includes(`error schema_missing: the registry does not have the schema of ${where.prefix}requests`));

    await applyTopics({ ...where, partitions: "small", log });
    t.after(() => deletePrefix(where));
    const unregistered = await doctor({ ...where, registryUrl: `http://127.0.0.1:${await freePort()}` });
    assert.equal(unregistered.code, 1);
    assert.equal(unregistered.remarks.filter((remark) => remark.startsWith("error registry_unreachable: ")).length, 1);
  });

  it("finds nothing wrong where all is well, and tells a changed topic and a gateway that cannot obey", async (t) => {
    const { connection, client, start } = await gatewayWorld(t);
    const idle = await doctor(connection);
    assert.deepEqual(
      idle.remarks.map((remark) => remark.split(":")[0]),
      ["error role_missing", "error role_missing", "error role_missing", "error role_missing", "error no_gateway", "warning role_missing"],
    );
    for (const program of [sampler, aggregator, decider]) await startRole(t, program, connection);
    const gateway = await start("gateway-1");
    await publish(client, tableWith({ epoch: 1, atMs: Date.now() }));
    await eventually("the table is obeyed", async () => (await gateway.state()).routes[0]?.epoch === 1);
    await eventually("all is well", async () => (await doctor(connection)).code === 0);
    const well = await doctor(connection);
    assert.match(
      well.head,
      /^\S+ {2}\d brokers? \([\d.:, ]+\) of cluster [\w-]{22}; sampler \(1, \d+ behind\), aggregator-fold \(1, \d+ behind\), aggregator-window \(1, \d+ behind\), decider \(1, \d+ behind\)$/,
    );
    assert.deepEqual(well.remarks, ["warning role_missing: no judge works: its group has no member; specs with a judge get no scores"]);

    const slow = { instance: "gateway-2", role: "gateway", url: "", atMs: Date.now() - 3_600_000, upstreams: [], droppedRecords: 0, stopping: false };
    await client.openAppender().append([{ topic: fleet, partition: 0, key: slow.instance, value: { ...slow, routes: [] } }]);
    const skewed = (await doctor(connection)).remarks.join("\n");
    assert.match(skewed, /warning clock_skew: the clock of gateway-2 is 360\d s behind the broker's/);

    const head = {
      route: "lost",
      seq: 1,
      atMs: Date.now(),
      rollout: "r",
      attempt: 1,
      phase: "done",
      condition: "progressing",
      step: 0,
      epoch: 5,
      reasons: [],
      message: "",
    };
    const state = { ...head, waiting: "", candidatePpm: 0, callsPerMinute: 0, watch: null, layout: 1, state: "{}" } as StateEntry;
    await client.openAppender().append([{ topic: rolloutState, partition: client.partitionFor(rolloutState, "lost"), key: "lost", value: state }]);
    assert.match((await doctor(connection)).remarks.join("\n"), /error table_lost: routing has lost the newest table of lost: the decider's is of epoch 5/);

    const admin = new kafkajs.Kafka({ brokers: connection.brokers, logLevel: kafkajs.logLevel.NOTHING }).admin();
    await admin.connect();
    const configEntries = [{ name: "cleanup.policy", value: "delete" }];
    const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: `${connection.prefix}brakes`, configEntries }];
    await admin.alterConfigs({ validateOnly: false, resources });
    await admin.disconnect();
    const table = tableWith({ epoch: 2, atMs: Date.now() });
    await publish(client, { ...table, versions: table.versions.map((version) => ({ ...version, upstream: "elsewhere" })) });
    const told = `error upstream_unknown: gateway-1 cannot obey epoch 2 of support-answer: its file has no upstream elsewhere`;
    await eventually("both are told", async () => {
      const { code, remarks } = await doctor(connection);
      return code === 1 && remarks.includes(told) && remarks.includes(`error topic_setting: ${connection.prefix}brakes: cleanup.policy is delete, not compact`);
    });
  });
});
