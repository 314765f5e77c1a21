import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import { Registry } from "prom-client";
import { freePort } from "../../src/dev/demo/processes.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import type { LogClient, Outgoing } from "../../src/runtime/port.ts";
import type { Program } from "../../src/runtime/program.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { program as gateway } from "../../src/stages/1-gateway/main.ts";
import { program as sampler } from "../../src/stages/2-sampler/main.ts";
import { program as aggregator } from "../../src/stages/4-aggregator/main.ts";
import { program as decider } from "../../src/stages/5-decider/main.ts";
import { type Aggregate, aggregates, type GateEvent, gateEvents, type Outcome, outcomes, rollouts } from "../../topics/index.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { answerJson, ask, completion, fileFor, testUpstream, until } from "../unit/stages/1-gateway/harness.ts";

const log = pino({ level: "silent" });
const deadlineMs = 90_000;
const route = "support-answer";
const HEADGATE_TOKEN_KEY = "the-new-key-of-the-tests-32-letters,the-old-key-of-the-tests-32-letters";

/** All roles between a call and a decision, in this process, on a prefix of their own. */
async function system(t: TestContext) {
  const { brokers, registryUrl } = await testCluster();
  const connection = { brokers: brokers.split(","), registryUrl, prefix: testPrefix() };
  await applyTopics({ ...connection, partitions: "small", log });
  const client = await connectLog({ ...connection, clientId: "test", log });
  const directory = mkdtempSync(join(tmpdir(), "headgate-outcomes-"));
  const stops: (() => Promise<void>)[] = [];
  t.after(async () => {
    for (const stop of stops.reverse()) await stop();
    await client.close();
    await deletePrefix(connection);
    rmSync(directory, { recursive: true, force: true });
  });
  const run = async (program: Program, env: Record<string, string>) => {
    let own: LogClient | null = null;
    const metrics = new Registry();
    const connect = async () => {
      own = await connectLog({ ...connection, clientId: program.name, log, sessionTimeoutMs: 6_000 });
      return own;
    };
    const running = await program.start({ env, log, metrics, instance: `${program.name}-1`, connect, readiness: () => undefined });
    let stopped: Promise<void> | null = null;
    const end = async () => {
      await running.stop();
      await own?.close().catch(() => undefined);
    };
    const stop = () => (stopped ??= end());
    stops.push(stop);
    return { metrics, stop };
  };
  const [one, two] = [await testUpstream(t), await testUpstream(t)];
  two.answer = (_, response) => answerJson(response, completion("from b"));
  const file = join(directory, "gateway.yaml");
  writeFileSync(file, fileFor(one, two));
  const port = await freePort();
  const shared = { HEADGATE_TOKEN_KEY };
  await run(gateway, { ...shared, HEADGATE_GATEWAY_CONFIG: file, HEADGATE_GATEWAY_PORT: String(port), HEADGATE_SUBJECT_KEY: "a test key of some length" });
  await run(sampler, {});
  const aggregators = [await run(aggregator, { ...shared, HEADGATE_AGGREGATOR_FLUSH_MS: "200" })];
  /** Another owner goes on where this one stops. */
  const replaceAggregator = async () => {
    await aggregators.at(-1)?.stop();
    aggregators.push(await run(aggregator, { ...shared, HEADGATE_AGGREGATOR_FLUSH_MS: "200" }));
  };
  await run(decider, {});
  const seen = { blocks: [] as Aggregate[], events: [] as GateEvent[] };
  const follower = client.follow([aggregates, gateEvents], {
    from: "beginning",
    onRecord: ({ topic, value }) => void (topic === aggregates.name ? seen.blocks.push(value as Aggregate) : seen.events.push(value as GateEvent)),
  });
  stops.push(() => follower.close());
  const append = async (record: Outgoing) => {
    const appender = client.openAppender();
    await appender.append([record]).finally(() => appender.close());
  };
  const results = async () => {
    const sums: Record<string, number> = {};
    for (const { metrics } of aggregators) {
      const found = (await metrics.getMetricsAsJSON()).find(({ name }) => name === "headgate_aggregator_outcomes_total");
      for (const { labels, value } of found?.values ?? []) sums[String(labels.result)] = (sums[String(labels.result)] ?? 0) + Number(value);
    }
    return sums;
  };
  return { replaceAggregator, client, url: `http://127.0.0.1:${port}`, seen, append, results };
}

const spec = {
  route,
  baseline: "a@1",
  candidate: "b@2",
  versions: { "b@2": { upstream: "two", model: "model-b" }, "a@1": { upstream: "one", model: "model-a" } },
  signals: [{ name: "form_filled", source: "outcome", maturity: "3s" }, "error_rate"],
  shadow: { share: 0 },
  ladder: [50, 100],
  pane: "1s",
  grace: { calls: "1s" },
};

interface Call {
  readonly token: string;
  readonly arm: "candidate" | "baseline";
}

async function callAs(url: string, user: string): Promise<Call> {
  const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: JSON.stringify(ask("hi", { user })) });
  const { choices } = (await response.json()) as ReturnType<typeof completion>;
  return { token: response.headers.get("x-headgate-outcome-token") ?? "", arm: choices[0]?.message.content === "from b" ? "candidate" : "baseline" };
}
const tell = async (url: string, body: unknown) => {
  const response = await fetch(`${url}/v1/outcomes`, { method: "POST", body: JSON.stringify(body) });
  assert.equal(response.status, 202, await response.text());
};

describe("outcomes on a real Kafka", () => {
  it("told with the token of a call are counted once, in its arm, also when the aggregator changes, and stop a candidate whose users get less done", async (t) => {
    const { replaceAggregator, client, url, seen, append, results } = await system(t);
    await append({
      topic: rollouts,
      partition: client.partitionFor(rollouts, route),
      key: route,
      value: { route, spec: JSON.stringify(spec), digest: "", rubrics: [], actor: "ann", atMs: Date.now() },
    });
    let warm = 0;
    await until("the gateway obeys the first step", () => seen.events.some(({ toPhase }) => toPhase === "canary"), deadlineMs);
    for (let arm = ""; arm !== "candidate"; ) ({ arm } = await callAs(url, `warm-${warm++}`));

    const told = { candidate: 0, baseline: 0 };
    const calls: Call[] = [];
    const breach = () => seen.events.find(({ action, reasons }) => (action === "frozen" || action === "rolled_back") && reasons.includes("signal_breach"));
    for (let i = 0; breach() === undefined && i < 3_000; i += 10) {
      const some = await Promise.all(Array.from({ length: 10 }, (_, k) => callAs(url, `user-${i + k}`)));
      const given = some.map(({ token, arm }, k) => ({
        token,
        signal: "form_filled",
        value: arm === "candidate" ? (i + k) % 2 === 0 : (i + k) % 20 !== 0,
        id: `${i + k}`,
      }));
      await tell(url, { outcomes: given });
      for (const { arm } of some) told[arm]++;
      calls.push(...some);
      if (i === 100) await replaceAggregator();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    // The same again, by the other door, and one that nobody could have made.
    const again = calls[0] as Call;
    const outcome: Outcome = { id: "again", token: again.token, signal: "form_filled", value: 0, occurredAtMs: Date.now(), source: "test" };
    const partition = client.partitionFor(outcomes, again.token);
    await append({ topic: outcomes, partition, key: again.token, value: outcome });
    await append({ topic: outcomes, partition, key: again.token, value: { ...outcome, token: `${again.token.slice(0, -4)}AAAA` } });
    await until("the decision", () => breach() !== undefined, deadlineMs);
    const decided = breach();
    assert.deepEqual(
      decided?.signals.filter(({ verdict }) => verdict === "breach").map(({ signal }) => signal),
      ["form_filled"],
    );

    const blocks = () => seen.blocks.filter((block) => block.kindOfRecord === "block" && block.group === "outcome" && block.slice === "all");
    const sum = (arm: Call["arm"], field: "sampled" | "scored") => blocks().reduce((total, block) => total + (block.arm === arm ? block[field] : 0), 0);
    await until("every outcome is in a block", () => sum("candidate", "scored") + sum("baseline", "scored") >= calls.length, deadlineMs);
    assert.deepEqual({ candidate: sum("candidate", "scored"), baseline: sum("baseline", "scored") }, told);
    assert.ok(
      blocks().every(
        ({ signal, rollout, round, evaluatorVersion }) => signal === "form_filled" && rollout !== "" && round === 0 && evaluatorVersion === "outcome",
      ),
    );
    // Calls that only warmed up promised an outcome too, and none came.
    assert.equal(sum("candidate", "sampled") + sum("baseline", "sampled"), calls.length + warm);
    assert.deepEqual(await results(), { counted: calls.length, repeat: 1, refused: 1 });
  });
});
