import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Command } from "commander";
import type { Cli } from "../../src/cli/cli.ts";
import { topicsCommand } from "../../src/cli/topics.ts";
import { KnownError } from "../../src/errors/known-error.ts";
import { allTopics } from "../../topics/index.ts";

async function run(args: readonly string[], env: Cli["env"] = {}): Promise<{ out: string; exitCode: number }> {
  const lines: string[] = [];
  const cli: Cli = {
    terminal: { out: (text) => lines.push(text), err: () => undefined, redraw: () => undefined, isInteractive: false, isColored: false },
    env,
    fetch,
    now: () => 0,
    read: async () => "",
    interrupted: new AbortController().signal,
    exitCode: 0,
  };
  const root = new Command("headgate");
  topicsCommand(root.command("topics"), cli);
  await root.parseAsync(["node", "headgate", "topics", ...args]);
  return { out: lines.join("\n"), exitCode: cli.exitCode };
}

const isKnown = (text: RegExp) => (error: unknown) => error instanceof KnownError && error.code === "CONFIG_INVALID" && text.test(error.message);

describe("headgate topics", () => {
  it("doc prints a line for each topic, or the AsyncAPI document", async () => {
    const { out } = await run(["doc"]);
    for (const { name, about } of allTopics)
      assert.ok(
        out.split("\n").some((line) => line.startsWith(name) && line.endsWith(about)),
        name,
      );
    assert.equal(JSON.parse((await run(["doc", "--asyncapi"])).out).asyncapi, "3.0.0");
  });

  it("diff --as prints everything without a connection, with prefix and sizes as asked", async () => {
    const { out, exitCode } = await run(["diff", "--as", "kafka-topics", "--partitions", "routes=9", "--replication-factor", "1"], {
      HEADGATE_PREFIX: "team.",
    });
    assert.match(out, /--topic team\.routing --partitions 9 --replication-factor 1 /);
    assert.match(out, /--topic team\.requests\.dlq --partitions 1 /);
    assert.equal(exitCode, 0);
  });

  it("says which variable or option is wrong, before it connects to anything", async () => {
    const env = { KAFKA_BROKERS: "127.0.0.1:9", SCHEMA_REGISTRY_URL: "http://127.0.0.1:9" };
    await assert.rejects(run(["apply"]), isKnown(/KAFKA_BROKERS is not set[\s\S]*SCHEMA_REGISTRY_URL is not set/));
    await assert.rejects(run(["apply", "--partitions", "many"], env), isKnown(/--partitions many cannot be read/));
    await assert.rejects(run(["diff", "--replication-factor", "0"], env), isKnown(/--replication-factor 0/));
    await assert.rejects(run(["diff"], { ...env, KAFKA_SASL_MECHANISM: "plain" }), isKnown(/KAFKA_SASL_USERNAME is not set/));
  });
});
