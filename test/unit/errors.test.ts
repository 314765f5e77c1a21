import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, it } from "node:test";
import { errorCodes } from "../../src/errors/catalogue.ts";
import { KnownError } from "../../src/errors/known-error.ts";

const page = readFileSync(resolve(import.meta.dirname, "../../docs/errors.md"), "utf8");

describe("known errors", () => {
  it("every code has a section in docs/errors.md, and every section is a code", () => {
    const documented = [...page.matchAll(/^## (\S+)$/gm)].map(([, code = ""]) => code).sort();
    assert.ok(documented.length > 10, "docs/errors.md has no sections");
    assert.deepEqual(documented, Object.keys(errorCodes).sort());
  });

  it("every section says what the catalogue says, and what to do", () => {
    for (const [code, meaning] of Object.entries(errorCodes)) {
      const section = page.split(`## ${code}\n`)[1]?.split("\n## ")[0] ?? "";
      assert.ok(section.toLowerCase().startsWith(meaning.toLowerCase()), `${code} does not begin with: ${meaning}`);
      assert.match(section, /\*\*Fix\.\*\* \S/, `${code} says no fix`);
    }
  });

  it("report the code, the problem and the fix, without a stack", () => {
    const error = new KnownError("NOT_FOUND", "there is no route x", { fix: "see `headgate rollout list`" });
    assert.equal(error.report(), "error NOT_FOUND: there is no route x\n  fix: see `headgate rollout list`");
  });
});
