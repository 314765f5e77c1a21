import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { pino } from "pino";
import { Registry } from "prom-client";
import { ControlApi } from "../../src/cli/control-api.ts";
import { run } from "../../src/cli/run.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import type { Incoming, LogClient } from "../../src/runtime/port.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { program, type RunningControl } from "../../src/stages/6-control/main.ts";
import {
  type Brake,
  brakes,
  type CatalogEntry,
  type Command,
  catalog,
  commands,
  type DeclaredRollout,
  fleet,
  gateEvents,
  rolloutState,
  rollouts,
  routing,
  type Topic,
  type ValueOf,
} from "../../topics/index.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { until } from "../fixtures/until.ts";
import { fakeCli } from "../unit/cli/fake-cli.ts";
import { gateEvent, gateway, route, rubricText, spec, state, table } from "../unit/stages/6-control/records.ts";

const prefix = testPrefix();
const silent = pino({ level: "silent" });

describe("control on a real Kafka", () => {
  let log: LogClient;
  let running: RunningControl;
  let api: ControlApi;
  let options: { brokers: string[]; registryUrl: string; prefix: string };
  const seen: Incoming[] = [];
  const put = <T extends Topic>(topic: T, key: string, value: ValueOf<T>) => {
    const appender = log.openAppender();
    return appender.append([{ topic, partition: log.partitionFor(topic, key), key, value }]).finally(() => appender.close());
  };
  const written = <V>(topic: Topic) => seen.filter((record) => record.topic === topic.name) as Incoming<V>[];

  before(async () => {
    const { brokers, registryUrl } = await testCluster();
    options = { brokers: brokers.split(","), registryUrl, prefix };
    await applyTopics({ ...options, partitions: "small" });
    log = await connectLog({ ...options, clientId: "test", log: silent });
    const context = { log: silent, metrics: new Registry(), instance: "control-test", readiness: () => {} };
    running = await program.start({
      ...context,
      env: { HEADGATE_CONTROL_PORT: "0" },
      connect: () => connectLog({ ...options, clientId: "control", log: silent }),
    });
    api = new ControlApi({ url: running.url, token: undefined, actor: "ann", fetch });
    const follower = log.follow([rollouts, commands, brakes, catalog], { from: "beginning", onRecord: (record) => void seen.push(record) });
    await follower.caughtUp;
    await until("readiness", async () => (await fetch(`${running.url}/readyz`)).ok);
  });
  after(async () => {
    await running?.stop();
    await log?.close();
    await deletePrefix(options);
  });

  it("an apply by the command line writes the texts to the catalog and the spec to its route's partition", async () => {
    await put(fleet, "gw-1", gateway({ atMs: Date.now() }));
    const cli = {
      ...fakeCli({ files: { "spec.yaml": JSON.stringify(spec), "task.yaml": rubricText }, env: { HEADGATE_CONTROL_URL: running.url, USER: "ann" } }),
      fetch,
    };
    const apply = ["rollout", "apply", "-f", "spec.yaml", "--rubric", "task.yaml"];
    // Control learns of the gateway from the topic: with it the upstreams are checked and nothing is warned of.
    await until("the gateway", async () => ((await api.get<{ gateways: unknown[] }>("/v1/fleet")).gateways.length === 1 ? true : undefined));
    assert.equal(await run(apply, cli), 0, cli.lines.err.join("\n"));
    const [record] = await until("the rollout", () => (written(rollouts).length > 0 ? written<DeclaredRollout>(rollouts) : undefined));
    assert.deepEqual([record?.key, record?.partition, record?.value?.actor], [route, log.partitionFor(rollouts, route), "ann"]);
    assert.deepEqual(JSON.parse(record?.value?.spec ?? ""), spec);
    const texts = await until("the catalog", () => {
      const entries = written<CatalogEntry>(catalog).filter(({ value }) => value?.kind !== "layout");
      return entries.length === 2 ? entries : undefined;
    });
    assert.deepEqual(texts.map(({ value }) => value?.kind).sort(), ["rubric", "spec"]);
    assert.equal(texts.find(({ value }) => value?.kind === "rubric")?.key, record?.value?.rubrics[0]?.digest);
    assert.equal(await run(apply, cli), 0);
    assert.match(cli.lines.out.at(-1) ?? "", /unchanged/);
    assert.equal(written(rollouts).length, 1);
  });

  it("commands and brakes land in their partitions, with who asked", async () => {
    await put(rolloutState, route, state({ atMs: Date.now() }));
    await put(routing, route, table({ attempt: 3 }));
    await until("the views", async () => ((await api.get<{ epoch: number; phase: string }>(`/v1/routes/${route}`)).epoch > 0 ? true : undefined));
    await until("the state", async () => ((await api.get<{ phase: string }>(`/v1/routes/${route}`)).phase === "canary" ? true : undefined));
    await api.post(`/v1/routes/${route}/pause`, { reason: "incident", id: "c-1" });
    const [command] = await until("the command", () => (written(commands).length > 0 ? written<Command>(commands) : undefined));
    assert.deepEqual(
      [command?.key, command?.partition, command?.value?.verb, command?.value?.actor],
      [route, log.partitionFor(commands, route), "pause", "ann"],
    );
    await api.post(`/v1/routes/${route}/brake`, { reason: "bad" });
    const [brake] = await until("the brake", () => (written(brakes).length > 0 ? written<Brake>(brakes) : undefined));
    assert.deepEqual([brake?.key, brake?.value?.rollout, brake?.value?.cleared], [route, "support-answer-1", false]);
  });

  it("a gate event that is published reaches whoever listens, and stands in the route's events", async () => {
    const abort = new AbortController();
    const heard: string[] = [];
    const listening = (async () => {
      for await (const event of api.events(`/v1/events?route=${route}`, abort.signal)) {
        if (event.event !== "gate-event") continue;
        heard.push(JSON.parse(event.data).id);
        break;
      }
    })();
    // The stream may not be open yet: events are published until one is heard.
    await until("a gate event on the stream", async () => {
      await put(gateEvents, route, gateEvent({ id: `ge-${heard.length}-${Date.now()}` }));
      return heard[0];
    });
    abort.abort();
    await listening;
    const { events } = await api.get<{ events: { id: string }[] }>(`/v1/routes/${route}/events?limit=200`);
    assert.ok(events.some(({ id }) => id === heard[0]));
  });

  it("starts anew with everything that the topics say", async () => {
    await running.stop();
    await running.finished;
    const context = { log: silent, metrics: new Registry(), instance: "control-again", readiness: () => {} };
    running = await program.start({
      ...context,
      env: { HEADGATE_CONTROL_PORT: "0" },
      connect: () => connectLog({ ...options, clientId: "control", log: silent }),
    });
    await until("readiness", async () => (await fetch(`${running.url}/readyz`)).ok);
    const again = new ControlApi({ url: running.url, token: undefined, actor: "ann", fetch });
    const view = await again.get<{ declared: { spec: unknown }; phase: string; events: unknown[]; brake: unknown }>(`/v1/routes/${route}`);
    assert.deepEqual(view.declared.spec, spec);
    assert.equal(view.phase, "canary");
    assert.ok(view.events.length > 0);
  });
});
