import { z } from "zod";
import { atMs, count, days, defineTopic, type ValueOf } from "./define.ts";

/** What a gateway serves now; dead after 30 s of silence. */
export const fleet = defineTopic({
  name: "fleet",
  about: "A gateway's report each few seconds and at each change: epoch served per route, brakes obeyed, upstreams known.",
  shape: z.object({
    instance: z.string(),
    role: z.string(),
    url: z.string().describe("address of its HTTP port as it binds it; for people on the same network"),
    atMs: atMs(),
    routes: z.array(z.object({ route: z.string(), epoch: count(), braked: z.boolean(), static: z.boolean() })),
    upstreams: z.array(z.string()),
    droppedRecords: count(),
    stopping: z.boolean(),
  }),
  key: "instance",
  partitions: 1,
  // A gateway lives as long as the broker hears it, whatever its own clock says.
  timestamps: "append",
  retention: { cleanup: "compact,delete", retentionMs: days(1) },
  writers: ["gateway"],
  readers: ["decider", "control"],
});
export type FleetReport = ValueOf<typeof fleet>;
