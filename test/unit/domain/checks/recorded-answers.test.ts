import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";
import { checkCompilers } from "../../../../src/checks/check-compilers.ts";
import { checkAnswer } from "../../../../src/domain/checks/check-answer.ts";
import { schemaForms } from "../../../../src/domain/checks/schema-check.ts";
import type { SchemaCheck } from "../../../../topics/index.ts";

/** Recorded answers of real models lie beside the project, not in it. */
const recorded = resolve(import.meta.dirname, "../../../../../shared/data");

const reasonedAnswer = {
  type: "object",
  required: ["reasoning", "answer"],
  properties: { reasoning: { type: "string" }, answer: { type: ["string", "number"] } },
};
const json: SchemaCheck = { source: "json", pattern: null, jsonSchema: JSON.stringify(reasonedAnswer), fence: "allowed" };
const pattern: SchemaCheck = { source: "pattern", pattern: "\\[(Yes|No)\\]", jsonSchema: null, fence: "forbidden" };

interface Row {
  readonly output: string;
  readonly schema_valid: boolean;
}

describe("the schema check on recorded answers", () => {
  const files: [string, number, SchemaCheck][] = [
    ["llmdrift_prime_gpt4.jsonl", 2000, pattern],
    ["zeroeval_gsm_gpt4o.jsonl", 3957, json],
    ["zeroeval_crux_gpt4o.jsonl", 1600, json],
  ];
  for (const [file, rows, check] of files) {
    const path = join(recorded, file);
    it(`says of each of the ${rows} rows of ${file} what its label says`, { skip: !existsSync(path) && "../shared/data is not there" }, () => {
      const forms = schemaForms(checkCompilers(() => {}));
      const all = readFileSync(path, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Row);
      assert.equal(all.length, rows);
      const different = all.filter(({ output, schema_valid: label }) => {
        const responseBody = JSON.stringify({ choices: [{ message: { role: "assistant", content: output } }] });
        return checkAnswer({ status: "ok", finishReason: "stop", responseBody }, { check, responseFormat: null, bodyCut: false }, forms)?.schemaValid !== label;
      });
      assert.deepEqual(
        different.map(({ output }) => output),
        [],
      );
    });
  }
});
