import { parseDocument } from "yaml";
import { type RolloutSpec, rolloutSpec } from "../../../topics/rollout-spec.ts";
import { schemaProblems } from "../../config/schema-problems.ts";
import { KnownError } from "../../errors/known-error.ts";

const fix = "correct the fields listed; `headgate rollout schema` prints the JSON Schema, `headgate rollout lint -f FILE` checks offline";

/**
 * Reads a YAML (or JSON) text.
 * @param what how to call it in the error, for example `the spec`
 * @throws {KnownError} SPEC_INVALID with line and column of each syntax error
 */
export function readYaml(text: string, what: string): unknown {
  const document = parseDocument(text);
  if (document.errors.length === 0) return document.toJS({ maxAliasCount: 50 });
  const errors = document.errors.map((error) => {
    const place = error.linePos?.[0];
    const where = place === undefined ? "" : `line ${place.line}, column ${place.col}: `;
    return { path: "", message: `${where}${error.message.split("\n")[0] ?? "not YAML"}` };
  });
  throw new KnownError("SPEC_INVALID", `${what} is not valid YAML`, { fix: "correct the syntax", details: { errors } });
}

/**
 * A spec that fits its schema.
 * @throws {KnownError} SPEC_INVALID with `details.errors`, one {path, message} per problem
 */
export function readSpec(value: unknown): RolloutSpec {
  const parsed = rolloutSpec.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = schemaProblems(rolloutSpec, parsed.error.issues);
  throw new KnownError("SPEC_INVALID", `the spec has ${errors.length === 1 ? "a problem" : `${errors.length} problems`}`, { fix, details: { errors } });
}
