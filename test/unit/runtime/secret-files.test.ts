import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { readSecretFiles } from "../../../src/runtime/process/secret-files.ts";

it("reads NAME from the file of NAME_FILE, without its last line break, and only for declared names", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "headgate-secret-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "secret");
  writeFileSync(path, "s3cret\n");
  const env = { PASSWORD_FILE: path, OTHER_FILE: path, TOKEN_FILE: path };
  const resolved = readSecretFiles(["PASSWORD", "TOKEN_FILE", "TOKEN"], env);
  assert.deepEqual(resolved, { ...env, PASSWORD: "s3cret" }, "TOKEN_FILE is a variable of its own");
  assert.throws(() => readSecretFiles(["PASSWORD"], { ...env, PASSWORD: "x" }), /PASSWORD and PASSWORD_FILE are both set/);
  assert.throws(() => readSecretFiles(["PASSWORD"], { PASSWORD_FILE: "/nowhere/at/all" }), /PASSWORD_FILE cannot be read/);
});
