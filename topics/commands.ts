import { z } from "zod";
import { atMs, count, days, defineTopic, maybe, openEnum, type ValueOf } from "./define.ts";

export const commandVerb = openEnum(
  "pause",
  "resume",
  "promote",
  "rollback",
  "approve",
  "retry",
  "undo",
  "freeze",
  "thaw",
  "withdraw",
  "capture",
  "clear",
  "probed",
);

/** What a person or a system asks of a running rollout. */
export const commands = defineTopic({
  name: "commands",
  about: "A command on a route's rollout. Idempotent by id; refused when the expected epoch or attempt is not the current one.",
  shape: z.object({
    id: z.string(),
    route: z.string(),
    verb: commandVerb,
    reason: z.string(),
    expectedAttempt: maybe(count()),
    expectedEpoch: maybe(count()),
    actor: z.string(),
    atMs: atMs(),
    probe: maybe(z.object({ version: z.string(), passed: count(), failed: count() })).describe(
      "of `probed`: how many golden prompts the version answered right",
    ),
  }),
  key: "route",
  partitions: "routes",
  retention: { cleanup: "delete", retentionMs: days(30) },
  writers: ["control", "cli", "prober", "any system"],
  readers: ["decider"],
});
export type Command = ValueOf<typeof commands>;
