import type { GateEvent } from "../../../topics/index.ts";

const aboutRoutes: ReadonlySet<GateEvent["action"]> = new Set(["drifted", "braked"]);

/** CloudEvents type of a gate event, for example `headgate.rollout.rolled_back.v1`. */
export function cloudEventType(action: GateEvent["action"]): string {
  return `headgate.${aboutRoutes.has(action) ? "route" : "rollout"}.${action}.v1`;
}

/** CloudEvents 1.0 attributes in Kafka binary mode. @see CloudEvents Kafka protocol binding 1.0, section 3.2 */
export function cloudEventHeaders(event: GateEvent): Record<string, string> {
  return {
    ce_id: event.id,
    ce_source: "/headgate/decider",
    ce_type: cloudEventType(event.action),
    ce_specversion: "1.0",
    ce_time: new Date(event.atMs).toISOString(),
    ce_subject: event.route,
    "content-type": "application/avro",
  };
}
