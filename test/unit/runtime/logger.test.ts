import assert from "node:assert/strict";
import { it } from "node:test";
import { loggable, processLogger } from "../../../src/runtime/process/logger.ts";

function logged(write: (log: ReturnType<typeof processLogger>) => void): string {
  let text = "";
  const stream = {
    write: (line: string) => {
      text += line;
    },
  };
  write(processLogger("info", stream));
  return text;
}

it("never writes a body, a prompt, a subject or a secret, at whatever depth it is handed over", () => {
  const canary = "canary-4d";
  const secrets = {
    requestBody: canary,
    body: { messages: [{ content: canary }] },
    prompt: canary,
    subject: canary,
    headers: { authorization: canary },
    nested: { deeper: { KAFKA_SASL_PASSWORD: canary, apiKey: canary } },
    buffer: Buffer.from(canary),
    accessToken: canary,
  };
  const error = Object.assign(new Error("upstream answered 500"), { config: { data: canary }, request: canary, response: { data: canary } });
  const text = logged((log) => log.info({ ...secrets, err: error }, "something happened"));
  assert.doesNotMatch(text, new RegExp(canary));
  assert.match(text, /something happened/);
  assert.match(text, /upstream answered 500/);
});

it("writes numbers, names and the causes of an error", () => {
  const text = logged((log) =>
    log.error({ role: "judge", partition: 3, outputTokens: 12, err: new Error("outer", { cause: new TypeError("inner") }) }, "failed"),
  );
  const entry = JSON.parse(text) as Record<string, unknown>;
  assert.deepEqual([entry.role, entry.partition, entry.outputTokens], ["judge", 3, 12]);
  assert.match(text, /"outer".*"TypeError".*"inner"/);
});

it("cuts what is long or deep", () => {
  assert.match(String(loggable("x".repeat(2_000))), /cut, 2000 characters/);
  assert.deepEqual(loggable({ a: { b: { c: { d: 1 } } } }), { a: { b: { c: "[object]" } } });
  assert.equal((loggable(Array.from({ length: 500 }, (_, i) => i)) as number[]).length, 50);
});
