import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { run } from "../../../src/cli/run.ts";
import { fakeCli } from "./fake-cli.ts";

const hashOf = (key: string) => createHash("sha256").update(key).digest("hex");

describe("headgate caller key", () => {
  it("makes a key that is new each time, and its hash", async () => {
    const made = [];
    for (let i = 0; i < 2; i++) {
      const cli = fakeCli({});
      assert.equal(await run(["caller", "key", "search", "-o", "json"], cli), 0);
      made.push(JSON.parse(cli.lines.out.join("\n")) as { name: string; key: string; keyHash: string });
    }
    assert.ok(made.every(({ key, keyHash }) => key.length > 40 && keyHash === hashOf(key)));
    assert.notEqual(made[0]?.key, made[1]?.key);
  });

  it("prints the entry of the gateway's file, and hashes a key that exists without showing it", async () => {
    const cli = fakeCli({ files: { "-": "an-existing-key-of-some-length\n" } });
    assert.equal(await run(["caller", "key", "search", "--key-file", "-"], cli), 0);
    const text = cli.lines.out.join("\n");
    assert.ok(text.includes(`keyHash: ${hashOf("an-existing-key-of-some-length")}`) && !text.includes("an-existing-key"));
  });

  it("refuses a key that could be guessed", async () => {
    const cli = fakeCli({ files: { "-": "short" } });
    assert.equal(await run(["caller", "key", "search", "--key-file", "-"], cli), 2);
    assert.ok(!cli.lines.err.join("").includes("short "));
  });
});
