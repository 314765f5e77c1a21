import { z } from "zod";
import { wantedRubric } from "./8-routing.ts";
import { atMs, defineTopic, type ValueOf } from "./define.ts";

/** A declared rollout. Compacted by route; the decider starts an attempt when the digest is new. */
export const rollouts = defineTopic({
  name: "rollouts",
  about: "The declared rollout of a route: the spec as JSON (JSON Schema in topics/rollout.schema.json). Any system may write it.",
  shape: z.object({
    route: z.string(),
    spec: z.string().describe("JSON of the spec"),
    digest: z.string().describe("SHA-256 of the canonical JSON of the spec"),
    rubrics: z.array(wantedRubric).describe("rubrics that the spec names, resolved to catalog digests"),
    actor: z.string(),
    atMs: atMs(),
  }),
  key: "route",
  partitions: "routes",
  retention: { cleanup: "compact" },
  writers: ["control", "cli", "any system"],
  readers: ["decider", "control", "prober"],
});
export type DeclaredRollout = ValueOf<typeof rollouts>;
