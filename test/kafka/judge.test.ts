import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { Kafka, logLevel } from "kafkajs";
import { pino } from "pino";
import { hash32 } from "../../src/domain/hash/hash32.ts";
import { builtinRubrics } from "../../src/domain/judging/builtin.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import type { Incoming, LogClient } from "../../src/runtime/port.ts";
import { groupIdOf } from "../../src/runtime/tasks/group-id.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { rubricDigest } from "../../src/stages/3-judge/digest.ts";
import { catalog, type Sample, type Score, samples, scores } from "../../topics/index.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { until } from "../fixtures/until.ts";
import { bodyWith, twinWith } from "../unit/domain/signals/call-fixture.ts";
import { completion, filled, judgeServer, type Question } from "../unit/stages/3-judge/judge-server.ts";
import { digestOf, sampleWith } from "../unit/stages/3-judge/parts.ts";

const silent = pino({ level: "silent" });

/** One prefix on the test cluster, with everything that is written to `scores`. */
async function world(t: TestContext) {
  const { brokers, registryUrl } = await testCluster();
  const connection = { brokers: brokers.split(","), registryUrl, prefix: testPrefix() };
  await applyTopics({ ...connection, partitions: "small", log: silent });
  t.after(() => deletePrefix({ ...connection, log: silent }));
  const client: LogClient = await connectLog({ ...connection, clientId: "judge-test", log: silent });
  t.after(() => client.close());
  const written: Incoming<Score>[] = [];
  const follower = client.follow([scores], { from: "beginning", onRecord: (record) => written.push(record as Incoming<Score>) });
  t.after(() => follower.close());
  await follower.caughtUp;

  /** Every committed score, read anew to the end. */
  const all = async (): Promise<Incoming<Score>[]> => {
    const found: Incoming<Score>[] = [];
    const reader = client.follow([scores], { from: "beginning", onRecord: (record) => found.push(record as Incoming<Score>) });
    await reader.caughtUp;
    await reader.close();
    return found;
  };

  const feed = async (values: readonly Sample[]): Promise<void> => {
    const appender = client.openAppender();
    const record = (value: Sample) => ({ topic: samples, partition: client.partitionFor(samples, value.subject), key: value.subject, value });
    for (let i = 0; i < values.length; i += 50) await appender.append(values.slice(i, i + 50).map(record));
    await appender.close();
  };

  const workers: ChildProcess[] = [];
  t.after(() => {
    for (const worker of workers) worker.kill("SIGKILL");
  });
  /** The role as it runs in production: a process of its own. */
  const worker = (env: Readonly<Record<string, string>>, preload: readonly string[] = []) => {
    const child = spawn(process.execPath, [...preload.flatMap((file) => ["--import", file]), "src/cli/main.ts", "judge"], {
      env: {
        ...process.env,
        KAFKA_BROKERS: brokers,
        SCHEMA_REGISTRY_URL: registryUrl,
        HEADGATE_PREFIX: connection.prefix,
        HEADGATE_SESSION_TIMEOUT_MS: "6000",
        HEADGATE_JUDGE_MODEL: "test-judge",
        HEADGATE_JUDGE_CACHE: "0",
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    workers.push(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise<string>((resolve) => child.once("exit", (code, signal) => resolve(signal ?? String(code))));
    return { child, ended, output: () => output };
  };

  /** Metadata that the role's group has committed, of all partitions. */
  const metadata = async (): Promise<string[]> => {
    const admin = new Kafka({ brokers: connection.brokers, clientId: "judge-test-admin", logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    try {
      const offsets = await admin.fetchOffsets({
        groupId: groupIdOf(connection.prefix, { name: "judge", inputs: [samples] }),
        topics: [`${connection.prefix}samples`],
      });
      return offsets.flatMap(({ partitions }) => partitions.map((partition) => partition.metadata ?? ""));
    } finally {
      await admin.disconnect();
    }
  };
  return { client, feed, worker, written, all, metadata };
}

const many = (count: number, changes: (i: number) => Parameters<typeof sampleWith>[0] = () => ({})): Sample[] =>
  Array.from({ length: count }, (_, i) => sampleWith({ requestId: `call-${i}`, subject: `subject-${i % 37}`, answer: `answer ${i}`, ...changes(i) }));

function assertOneScoreEach(written: readonly Incoming<Score>[], fed: readonly Sample[]): void {
  const ids = written.map(({ value }) => value?.requestId ?? "");
  assert.deepEqual([...ids].sort(), fed.map(({ requestId }) => requestId).sort());
  assert.equal(new Set(written.map(({ value }) => value?.scoreId)).size, fed.length);
}

/** Takes some ms that depend on the answer, so that work finishes out of order. */
const unevenly = async (question: Question, longestMs: number) => {
  await new Promise((resolve) => setTimeout(resolve, hash32(question.item.answer) % longestMs));
  return completion(filled(question, hash32(question.item.answer, 7) % 4 === 0 ? "no" : "yes"));
};

describe("the judge on a real Kafka", () => {
  it("writes exactly one score per sample, with its attribution, by rubrics of the catalog or its own", async (t) => {
    const { client, feed, worker, written, all } = await world(t);
    const { url, questions } = await judgeServer(t, (question) => (question.item.answer === "broken" ? completion("?") : unevenly(question, 30)));
    const text =
      "name: tone@1\ninstructions: Judge the tone.\nsignals:\n  - { name: politeness, form: score, criteria: [{ id: kind, question: Is it kind? }] }\n";
    const digest = rubricDigest(text);
    const running = worker({ HEADGATE_JUDGE_BASE_URL: url, HEADGATE_JUDGE_API_KEY: "sk-very-secret" });
    const fed = many(160, (i) => {
      if (i % 10 === 0) return { answer: "broken" };
      if (i % 4 === 1) return { rubrics: [digest] };
      return i % 4 === 2 ? { exposure: "shadow", twin: twinWith({ responseBody: bodyWith(`twin ${i}`) }) } : {};
    });
    await feed(fed);
    // The rubric comes after the samples that want it.
    const appender = client.openAppender();
    const entry = { digest, kind: "rubric" as const, name: "tone@1", text, atMs: Date.now() };
    await appender.append([{ topic: catalog, partition: 0, key: digest, value: entry }]);
    await appender.close();
    await until("all samples are scored", () => written.length >= fed.length || running.child.exitCode !== null);
    running.child.kill("SIGTERM");
    assert.equal(await running.ended, "0", running.output());
    assertOneScoreEach(await all(), fed);

    const byId = new Map(written.map((record) => [record.value?.requestId, record]));
    for (const [i, sample] of fed.entries()) {
      const record = byId.get(sample.requestId);
      const score = record?.value;
      assert.ok(record && score);
      assert.equal(record.partition, client.partitionFor(scores, sample.subject));
      assert.deepEqual([score.endedAtMs, score.version, score.arm, score.exposure], [sample.endedAtMs, sample.version, sample.arm, sample.exposure]);
      const [result] = score.results;
      if (i % 10 === 0) assert.deepEqual([result?.status, result?.value], ["failed", null]);
      else if (i % 4 === 1) assert.deepEqual([score.evaluator, result?.signal, result?.form, result?.status], ["tone@1", "politeness", "grid", "scored"]);
      else assert.equal(result?.value, hash32(`answer ${i}`, 7) % 4 === 0 ? 0 : 1);
      assert.equal(result?.twinValue !== null, i % 10 !== 0 && i % 4 === 2);
    }
    const log = running.output();
    for (const secret of ["sk-very-secret", "answer 3", "twin 2", builtinRubrics[0]?.text.slice(20, 60) ?? ""])
      assert.ok(!log.includes(secret), `the log shows ${secret}`);
    assert.ok(questions.length >= fed.length);
  });

  it("publishes each score once although its process is killed in the middle of work and in the middle of a transaction", async (t) => {
    const { feed, worker, written, all, metadata } = await world(t);
    // A few samples lag far behind, so that much is finished above the committed offset.
    const { url, questions } = await judgeServer(t, async (question) => {
      if (hash32(question.item.answer, 3) % 40 === 0) await new Promise((resolve) => setTimeout(resolve, 1_500));
      return unevenly(question, 120);
    });
    const env = { HEADGATE_JUDGE_BASE_URL: url };
    const fed = many(900);
    await feed(fed);

    const first = worker(env);
    await until("much is published out of order", async () => written.length >= 150 && (await metadata()).some((text) => text.startsWith("1;")));
    first.child.kill("SIGKILL");
    assert.equal(await first.ended, "SIGKILL", first.output());
    const atFirstKill = written.length;
    assert.ok(atFirstKill < fed.length, "the kill came too late to hit anything");

    const folder = mkdtempSync(join(tmpdir(), "hgtest-judge-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const report = join(folder, "died.json");
    const second = worker({ ...env, DIE_AT_COMMIT: "3", DIE_REPORT: report }, ["./test/fixtures/die-in-transaction.ts"]);
    assert.equal(await second.ended, "SIGKILL", second.output());
    assert.ok(existsSync(report), "the second kill did not hit an open transaction");
    assert.ok((JSON.parse(readFileSync(report, "utf8")) as { records: number }).records > 0);

    const third = worker(env);
    await until("all samples are scored", () => written.length >= fed.length || third.child.exitCode !== null);
    third.child.kill("SIGTERM");
    assert.equal(await third.ended, "0", third.output());
    assertOneScoreEach(await all(), fed);
    // Calls may repeat, but only those that were under way or unpublished: nothing that was published is asked again.
    assert.ok(questions.length > fed.length, "nothing was under way when it was killed");
    assert.ok(questions.length < 2 * fed.length, `${questions.length} calls for ${fed.length} samples`);
  });

  it("lets samples wait while the endpoint is down, and judges all of them when it is back", async (t) => {
    const { feed, worker, written, all } = await world(t);
    let isDown = true;
    const { url, questions } = await judgeServer(t, (question) => (isDown ? "drop" : completion(filled(question, "yes"))));
    const running = worker({ HEADGATE_JUDGE_BASE_URL: url, HEADGATE_JUDGE_DEADLINE_MS: "1000" });
    const fed = many(80);
    await feed(fed);
    await until("the breaker is open", () => running.output().includes("endpoint is down"));
    assert.ok(questions.length < fed.length);
    isDown = false;
    await until("all samples are scored", () => written.length >= fed.length || running.child.exitCode !== null);
    running.child.kill("SIGTERM");
    assert.equal(await running.ended, "0", running.output());
    assertOneScoreEach(await all(), fed);
    assert.ok(written.every(({ value }) => value?.results[0]?.status === "scored"));
    assert.equal(fed[0]?.rubrics[0], digestOf("task@1"));
  });
});
