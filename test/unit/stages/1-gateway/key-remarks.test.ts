import assert from "node:assert/strict";
import { it } from "node:test";
import { keyRemarks } from "../../../../src/stages/1-gateway/admin/key-remarks.ts";

it("a key of subjects that is random or short is told, and its text is not", () => {
  const codes = (key: string | undefined) => keyRemarks(key).map(({ level, code }) => `${level} ${code}`);
  assert.deepEqual([undefined, "short-secret", "k".repeat(16)].map(codes), [["warning random_subject_key"], ["warning short_subject_key"], []]);
  assert.doesNotMatch(JSON.stringify(keyRemarks("short-secret")), /short-secret/);
});
