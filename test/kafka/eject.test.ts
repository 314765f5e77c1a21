import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it, type TestContext } from "node:test";
import { pino } from "pino";
import { run } from "../../src/cli/run.ts";
import { Children, freePort, waitForOk } from "../../src/dev/demo/processes.ts";
import { rangesFor } from "../../src/domain/routing/ranges.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { routing } from "../../topics/index.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { fakeCli } from "../unit/cli/fake-cli.ts";
import { tableWith } from "../unit/domain/routing/table-fixture.ts";
import { answerJson, completion, fileFor, testUpstream, until } from "../unit/stages/1-gateway/harness.ts";

const log = pino({ level: "silent" });
const deadlineMs = 60_000;

/** A caller that never stops calling, wherever its base URL points now; it counts what failed and who answered. */
class Caller {
  readonly answers: { readonly from: string; readonly base: string }[] = [];
  readonly failures: string[] = [];
  base: string;
  model = "support-answer";
  #running = true;
  readonly #loops: Promise<void>[];

  constructor(base: string) {
    this.base = base;
    this.#loops = Array.from({ length: 4 }, (_, i) => this.#loop(i));
  }

  async #loop(worker: number): Promise<void> {
    for (let n = 0; this.#running; n++) {
      const { base, model } = this;
      try {
        const body = JSON.stringify({ model, user: `user-${worker}-${n % 50}`, messages: [{ role: "user", content: "hi" }] });
        const response = await fetch(`${base}/chat/completions`, { method: "POST", body, headers: { "content-type": "application/json" } });
        const answer = (await response.json()) as ReturnType<typeof completion>;
        if (response.status === 200) this.answers.push({ from: answer.choices[0]?.message.content ?? "", base });
        else this.failures.push(`${response.status} ${JSON.stringify(answer)}`);
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }

  answeredAt(base: string): string[] {
    return this.answers.filter((answer) => answer.base === base).map(({ from }) => from);
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
  }
}

/** A route in the middle of a canary, half and half, on a real gateway process. */
async function canary(t: TestContext) {
  const { brokers, registryUrl } = await testCluster();
  const connection = { brokers: brokers.split(","), registryUrl, prefix: testPrefix() };
  await applyTopics({ ...connection, partitions: "small", log });
  const client = await connectLog({ ...connection, clientId: "test", log });
  const directory = mkdtempSync(join(tmpdir(), "headgate-eject-"));
  const crashed: string[] = [];
  const children = new Children(directory, (child, how) => crashed.push(`${child.name} (${how})`));
  t.after(async () => {
    await children.stopAll();
    await client.close();
    await deletePrefix(connection);
    rmSync(directory, { recursive: true, force: true });
  });
  const [a, b] = [await testUpstream(t), await testUpstream(t)];
  a.answer = (_, response) => answerJson(response, completion("from a"));
  b.answer = (_, response) => answerJson(response, completion("from b"));
  const table = tableWith({
    epoch: 7,
    ranges: rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 5_000, holdbackBuckets: 0 }),
    atMs: Date.now(),
  });
  const appender = client.openAppender();
  await appender.append([{ topic: routing, partition: client.partitionFor(routing, table.route), key: table.route, value: table }]);
  await appender.close();
  const env = {
    KAFKA_BROKERS: brokers,
    SCHEMA_REGISTRY_URL: registryUrl,
    HEADGATE_PREFIX: connection.prefix,
    HEADGATE_SUBJECT_KEY: "a test key of some length",
  };
  const gateway = async (name: string, file: string, more: Readonly<Record<string, string>> = {}) => {
    const port = await freePort();
    const path = join(directory, `${name}.yaml`);
    writeFileSync(path, file);
    const child = children.start(name, "src/cli/main.ts", ["gateway"], { ...env, HEADGATE_GATEWAY_CONFIG: path, HEADGATE_GATEWAY_PORT: String(port), ...more });
    await waitForOk(`http://127.0.0.1:${port}/readyz`, deadlineMs, () => {
      if (crashed.length > 0) throw new Error(`${crashed.join()}\n${children.tail(name)}`);
    });
    return { base: `http://127.0.0.1:${port}/v1`, child };
  };
  const file = fileFor(a, b);
  const eject = async (...args: string[]) => {
    const cli = fakeCli({ env, files: { "gateway.yaml": file } });
    assert.equal(await run(["eject", "support-answer", "--config", "gateway.yaml", ...args], cli), 0, cli.lines.err.join("\n"));
    return { out: cli.lines.out.join("\n"), err: cli.lines.err.join("\n") };
  };
  return { gateway, eject, file, env };
}

it("ejects in the middle of a canary without a failed call: to a gateway without Kafka, and to the upstream itself", { timeout: 240_000 }, async (t) => {
  const { gateway, eject, file } = await canary(t);
  const gated = await gateway("gated", file);
  const caller = new Caller(gated.base);
  t.after(() => caller.stop());
  const saw = (base: string, from: string) => caller.answeredAt(base).includes(from);
  await until("both versions serve", () => saw(gated.base, "from a") && saw(gated.base, "from b"), deadlineMs);

  const ejected = await eject();
  assert.match(ejected.err, /served by a@1 there \(epoch 7; b@2 has 50 % of subjects until you switch\)/);
  const standing = await gateway("static", ejected.out, { KAFKA_BROKERS: "127.0.0.1:1", HEADGATE_PREFIX: "hgtest-ejected." });
  caller.base = standing.base;
  await until("the static gateway serves", () => caller.answeredAt(standing.base).length >= 50, deadlineMs);
  // Stopped as an orchestrator does it: what is under way is finished.
  gated.child.stopped = true;
  gated.child.process.kill("SIGTERM");
  await until("the gated gateway is gone", () => gated.child.process.exitCode !== null, deadlineMs);

  const variables = Object.fromEntries((await eject("--format", "env")).out.split("\n").map((line) => line.split("=", 2) as [string, string]));
  caller.model = variables.OPENAI_MODEL ?? "";
  const direct = variables.OPENAI_BASE_URL ?? "";
  caller.base = direct;
  await until("the upstream serves", () => caller.answeredAt(direct).length >= 50, deadlineMs);
  await caller.stop();

  assert.equal(gated.child.process.exitCode, 0);
  assert.deepEqual(caller.failures, []);
  assert.deepEqual(new Set(caller.answeredAt(standing.base)), new Set(["from a"]));
  assert.deepEqual(new Set(caller.answeredAt(direct)), new Set(["from a"]));
});
