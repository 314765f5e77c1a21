import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { run } from "../../../src/cli/run.ts";
import { muteBroker } from "../../fixtures/mute-broker.ts";
import { fakeCli } from "./fake-cli.ts";

it("a command whose control takes the connection and never says a word ends, and says how to stop a candidate without it", async (t) => {
  const { broker } = await muteBroker(t);
  const made = AbortSignal.timeout.bind(AbortSignal);
  const asked: number[] = [];
  t.mock.method(AbortSignal, "timeout", (ms: number) => {
    asked.push(ms);
    return made(50);
  });
  const cli = { ...fakeCli({ env: { HEADGATE_CONTROL_URL: `http://${broker}` } }), fetch };
  const code = await run(["rollout", "rollback", "support-answer", "--reason", "it swears"], cli);
  assert.deepEqual([code, cli.lines.out, asked[0]], [1, [], 30_000]);
  const err = cli.lines.err.join("\n");
  assert.match(err, /CONTROL_UNREACHABLE.*no answer from http:\/\/127\.0\.0\.1:\d+\/? within 30 s/);
  assert.match(err, /fix: .*headgate brake ROUTE --gateway URL/);
});

/** A registry that answers as one that knows nothing. */
async function emptyRegistry(t: TestContext): Promise<string> {
  const server = createServer((_, response) => {
    response.writeHead(404, { "content-type": "application/vnd.schemaregistry.v1+json" }).end('{"error_code":40401,"message":"no such subject"}');
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function runOn(brokers: string, registryUrl: string, argv: readonly string[]) {
  const files = { "gateway.yaml": "upstreams: { one: { baseUrl: http://one.test/v1 } }" };
  const cli = { ...fakeCli({ env: { KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registryUrl }, files }), fetch };
  const code = await run(argv, cli);
  return { code, out: cli.lines.out.join("\n"), err: cli.lines.err.join("\n") };
}

describe("a command on a Kafka that takes connections and never says a word", () => {
  for (const argv of [
    ["topics", "apply", "--dry-run"],
    ["topics", "diff"],
    ["export", "static"],
    ["uninstall", "--dry-run"],
    ["eject", "support-answer", "--config", "gateway.yaml"],
  ]) {
    it(`headgate ${argv.join(" ")} ends, and names the broker`, async (t) => {
      const { broker } = await muteBroker(t);
      const { code, out, err } = await runOn(broker, await emptyRegistry(t), [...argv, "--timeout", "600ms"]);
      assert.deepEqual([code, out], [1, ""]);
      assert.match(err, new RegExp(`Kafka at ${broker} takes connections, and says nothing \\(waited 0.6 s\\)`));
      assert.match(err, /fix: look at that broker/);
    });
  }

  it("headgate doctor tells what else it can see", async (t) => {
    const { broker } = await muteBroker(t);
    const away = "http://127.0.0.1:1";
    const { code, out, err } = await runOn(broker, away, ["doctor", "--timeout", "600ms"]);
    assert.deepEqual([code, err], [1, ""]);
    assert.match(out, /Kafka NOT reached\n {2}error kafka_unreachable: Kafka at [\d.:]+ takes connections, and says nothing/);
    assert.match(out, /error registry_unreachable: the schema registry at http:\/\/127\.0\.0\.1:1 did not answer/);
  });

  it("leaves it for another broker of the list", async (t) => {
    const [mute, other] = [await muteBroker(t), await muteBroker(t)];
    const { err } = await runOn(`${mute.broker},${other.broker}`, await emptyRegistry(t), ["topics", "diff", "--timeout", "900ms"]);
    assert.match(err, /takes connections, and says nothing/);
    assert.ok(mute.opened() > 0 && other.opened() > 0, `${mute.opened()} and ${other.opened()} connections`);
  });
});
