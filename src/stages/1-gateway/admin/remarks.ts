import type { OutdatedBaseline, RouteState } from "../routing/live-routes.ts";
import type { SnapshotState } from "../routing/snapshot-keeper.ts";

/** Something that a person should know of a gateway, and what to do. `error`: it will hurt in the next outage, or does now. */
export interface Remark {
  readonly level: "error" | "warning";
  readonly code:
    | "disconnected"
    | "stale"
    | "superseded"
    | "braked"
    | "snapshot_not_written"
    | "no_spool"
    | "static_outdated"
    | "file_refused"
    | "snapshot_refused"
    | "no_snapshot"
    | "table_refused"
    | "records_dropped"
    | "records_on_disk"
    | "no_admin_port"
    | "upstream_unreachable"
    | "upstream_tls"
    | "upstream_certificate_ends"
    | "upstream_unverified"
    | "upstream_unencrypted"
    | "spool_room"
    | "random_subject_key"
    | "short_subject_key"
    | "workers_missing";
  readonly message: string;
  readonly fix: string;
}

/** What remarks are made of. */
export interface Condition {
  /** `none`: Kafka and the registry have not been reached since the start; `lost`: they were, and routing or brakes have not been fetched lately. */
  readonly connection: "heard" | "lost" | "none";
  readonly hasAdminPort: boolean;
  readonly snapshot: SnapshotState;
  readonly routes: readonly RouteState[];
  readonly outdated: readonly OutdatedBaseline[];
  readonly dropped: number;
  readonly spooledBytes: number;
  /** Why the spool cannot be used; null: it can, or none is asked for. */
  readonly spoolProblem: string | null;
  /** Why the gateway's file cannot be used as it is now; null: it can, or was not read from a file. */
  readonly fileProblem: string | null;
}

const error = (code: Remark["code"], message: string, fix: string): Remark => ({ level: "error", code, message, fix });
const warning = (code: Remark["code"], message: string, fix: string): Remark => ({ level: "warning", code, message, fix });
const when = (holds: boolean, remark: () => Remark): Remark[] => (holds ? [remark()] : []);

/** What is to be said of a gateway, errors first. */
export function remarksOf(condition: Condition): Remark[] {
  const { hasAdminPort, snapshot, outdated, routes, dropped, spooledBytes } = condition;
  return [
    ...connectionRemarks(condition),
    ...routes.flatMap(holdRemarks),
    ...outdated.map(outdatedRemark),
    ...fileRemarks(condition),
    ...diskRemarks(condition),
    ...routes.flatMap(refusalRemarks),
    ...routes.flatMap(brakeRemarks),
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

function connectionRemarks({ connection }: Condition): Remark[] {
  if (connection === "heard") return [];
  const since =
    connection === "none" ? "Kafka or the registry has not been reached since the start" : "routing and brakes could not be fetched for more than 15 s";
  const fix =
    connection === "none" ? "check KAFKA_BROKERS and SCHEMA_REGISTRY_URL" : "check that the brokers answer (KAFKA_BROKERS); GET /v1/status has freshAtMs";
  return [error("disconnected", `${since}: no change of routing and no brake is heard`, fix)];
}

function holdRemarks({ route, epoch, hold, withholds }: RouteState): Remark[] {
  if (hold === "stale" && withholds) {
    const message = `route ${route}: epoch ${epoch} is stale: everybody is on the baseline until routing and brakes are fetched again`;
    return [error("stale", message, "bring Kafka back; nothing is to be done at the gateway")];
  }
  if (hold === "superseded" && withholds) {
    const message = `route ${route}: everybody is on the baseline: a table after epoch ${epoch} asks for less, and cannot be obeyed`;
    return [error("superseded", message, "see table_refused")];
  }
  return [];
}

function brakeRemarks({ route, epoch, hold, withholds }: RouteState): Remark[] {
  if (hold !== "braked" || !withholds) return [];
  const message = `route ${route}: braked, while epoch ${epoch} has calls for the candidate: everybody is on the baseline`;
  return [
    warning(
      "braked",
      message,
      "nothing, once the decider rolls back; where it does not, look whether it runs and the brake is in brakes (headgate rollout get)",
    ),
  ];
}

function outdatedRemark({ route, configured, routing, differs }: OutdatedBaseline): Remark {
  const verb = differs.length > 1 || differs[0] === "parameters" ? "differ" : "differs";
  const how = differs.length === 0 ? "" : ` (${differs.join(", ")} ${verb})`;
  return error(
    "static_outdated",
    `route ${route}: the gateway's file has the baseline ${configured}, routing has ${routing}${how}: without Kafka and snapshot the old one would serve`,
    "headgate export static --into FILE, with the gateway's file, prints it with the current baselines: put that in its place, and restart the gateway",
  );
}

/** Nothing of a file that is wrong is used, but a restart reads all of it. */
function fileRemarks({ fileProblem }: Condition): Remark[] {
  if (fileProblem === null) return [];
  const message = `the gateway's file has changed and cannot be used; until it is right no key is given or taken back: ${fileProblem}`;
  return [
    error(
      "file_refused",
      message,
      "mend the file (HEADGATE_GATEWAY_CONFIG), which is read again each second, or restart the gateway where the problem says so",
    ),
  ];
}

function diskRemarks({ snapshot: { problem, writeProblem }, spoolProblem }: Condition): Remark[] {
  return [
    ...when(problem !== null, () => error("snapshot_refused", problem ?? "", REFUSED_FIX)),
    ...when(writeProblem !== null, () =>
      error("snapshot_not_written", `${writeProblem}: a restart without Kafka would not know this routing and these brakes`, DISK_FIX),
    ),
    ...when(spoolProblem !== null, () =>
      error(
        "no_spool",
        `no spool takes records (${spoolProblem}): while Kafka is away they wait in memory only, and are lost when that is full or the process ends`,
        DISK_FIX,
      ),
    ),
  ];
}

const DISK_FIX =
  "make room in the data directory (HEADGATE_GATEWAY_DATA), and let the gateway's user write there; restart it when the directory could not be opened";
const REFUSED_FIX =
  "docs/errors.md, SNAPSHOT_INVALID; where it is of another prefix, give each installation a data directory of its own (HEADGATE_GATEWAY_DATA)";

function refusalRemarks({ route, refusal }: RouteState): Remark[] {
  if (refusal === null) return [];
  const message = `route ${route}: epoch ${refusal.epoch} cannot be obeyed: ${refusal.problems.join("; ")}`;
  return [error("table_refused", message, "add what is missing to the gateway's file")];
}
