import type { OutdatedBaseline, RouteState } from "../routing/live-routes.ts";
import type { SnapshotState } from "../routing/snapshot-keeper.ts";

/** Something that a person should know of a gateway, and what to do. `error`: it will hurt in the next outage, or does now. */
export interface Remark {
  readonly level: "error" | "warning";
  readonly code:
    | "disconnected"
    | "static_outdated"
    | "snapshot_refused"
    | "no_snapshot"
    | "table_refused"
    | "records_dropped"
    | "records_on_disk"
    | "no_admin_port"
    | "upstream_unreachable"
    | "workers_missing";
  readonly message: string;
  readonly fix: string;
}

export interface Condition {
  readonly connected: boolean;
  readonly hasAdminPort: boolean;
  readonly snapshot: SnapshotState;
  readonly routes: readonly RouteState[];
  readonly outdated: readonly OutdatedBaseline[];
  readonly dropped: number;
  readonly spooledBytes: number;
}

const REFUSED_FIX =
  "docs/errors.md, SNAPSHOT_INVALID; where it is of another prefix, give each installation a data directory of its own (HEADGATE_GATEWAY_DATA)";

/** What is to be said of a gateway, worst first. */
export function remarksOf(condition: Condition): Remark[] {
  const { connected, hasAdminPort, snapshot, routes, outdated, dropped, spooledBytes } = condition;
  const error = (code: Remark["code"], message: string, fix: string): Remark => ({ level: "error", code, message, fix });
  const warning = (code: Remark["code"], message: string, fix: string): Remark => ({ level: "warning", code, message, fix });
  const when = (holds: boolean, remark: () => Remark): Remark[] => (holds ? [remark()] : []);
  return [
    ...when(!connected, () =>
      error(
        "disconnected",
        "Kafka or the registry has not been reached since the start: no change of routing is heard",
        "check KAFKA_BROKERS and SCHEMA_REGISTRY_URL",
      ),
    ),
    ...outdated.map(({ route, configured, routing }) =>
      error(
        "static_outdated",
        `route ${route}: the gateway's file has the baseline ${configured}, routing has ${routing}: without Kafka and snapshot the old one would serve`,
        "headgate export static writes the current baselines",
      ),
    ),
    ...when(snapshot.problem !== null, () => error("snapshot_refused", snapshot.problem ?? "the routing snapshot was refused", REFUSED_FIX)),
    ...routes.flatMap(({ route, refusal }) =>
      refusal === null
        ? []
        : [
            error(
              "table_refused",
              `route ${route}: epoch ${refusal.epoch} cannot be obeyed: ${refusal.problems.join("; ")}`,
              "add what is missing to the gateway's file",
            ),
          ],
    ),
    ...when(dropped > 0, () => warning("records_dropped", `${dropped} records were lost`, "docs/gateway.md, What is logged")),
    ...when(spooledBytes > 0, () => warning("records_on_disk", `${spooledBytes} bytes of records wait on disk for Kafka`, "nothing, once Kafka answers")),
    ...when(snapshot.found === "off", () =>
      warning("no_snapshot", "no data directory: after a restart without Kafka no routing and no brakes are known", "set HEADGATE_GATEWAY_DATA"),
    ),
    ...when(!hasAdminPort, () =>
      warning(
        "no_admin_port",
        "no admin port: without Kafka nobody can brake this gateway",
        "set HEADGATE_GATEWAY_ADMIN_PORT and HEADGATE_GATEWAY_ADMIN_TOKEN",
      ),
    ),
  ];
}
