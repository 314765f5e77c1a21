import { createHash } from "node:crypto";
import type { DeclaredRollout, FleetReport } from "../../../topics/index.ts";
import { rolloutSpec } from "../../../topics/rollout-spec.ts";
import { schemaProblems } from "../../config/schema-problems.ts";
import { canonicalJson } from "../../domain/rollout/canonical-json.ts";
import type { SpecInput } from "../../domain/rollout/input.ts";
import { heardAtMs } from "../../runtime/append-time.ts";

/** A gateway that has not reported for so long counts as dead (DESIGN.md section 2). */
const DEAD_AFTER_MS = 30_000;

/** Hex SHA-256 of a text's UTF-8 bytes. */
export const sha256 = (text: string): string => createHash("sha256").update(text, "utf8").digest("hex");

type ReadSpec = Pick<SpecInput, "spec" | "problems" | "digest">;

/** Reads the spec of a declared rollout. Any system may write `rollouts`: what does not fit is a problem to tell, not a crash. */
export function readSpec(declared: DeclaredRollout): ReadSpec {
  let value: unknown;
  try {
    value = JSON.parse(declared.spec);
  } catch (error) {
    return { spec: null, problems: [`the spec is not JSON (${error instanceof Error ? error.message : String(error)})`], digest: sha256(declared.spec) };
  }
  const digest = sha256(canonicalJson(value));
  const parsed = rolloutSpec.safeParse(value);
  if (!parsed.success) {
    const problems = schemaProblems(rolloutSpec, parsed.error.issues).map(({ path, message }) => `${path} ${message}`.trim());
    return { spec: null, problems, digest };
  }
  if (parsed.data.route !== declared.route) {
    return { spec: null, problems: [`route is ${parsed.data.route}, but the record is about ${declared.route}; make them the same`], digest };
  }
  return { spec: parsed.data, problems: [], digest };
}

/** Gateways that reported lately and are not stopping, with the upstreams that they know. */
export function liveGateways(reports: Iterable<FleetReport>, nowMs: number): SpecInput["gateways"] {
  return [...reports]
    .filter((report) => report.role === "gateway" && !report.stopping && nowMs - heardAtMs(report) < DEAD_AFTER_MS)
    .map(({ instance, upstreams }) => ({ instance, upstreams: [...upstreams] }))
    .sort((a, b) => (a.instance < b.instance ? -1 : 1));
}
