import type { FleetReport, RoutingTable, StateEntry } from "../../../topics/index.ts";
import { exposesCandidate } from "../../domain/routing/route-table.ts";
import { heardAtMs } from "../../runtime/append-time.ts";
import type { Examination, GroupRole } from "../../runtime/examine.ts";
import type { Difference } from "../../runtime/topic-admin.ts";

/** Something that a person should know of an installation, and what to do. `error`: it does not work, or will not in the next outage. */
export interface InstallationRemark {
  readonly level: "error" | "warning";
  readonly code: string;
  readonly message: string;
  readonly fix: string;
}

const error = (code: string, message: string, fix: string): InstallationRemark => ({ level: "error", code, message, fix });
const warning = (code: string, message: string, fix: string): InstallationRemark => ({ level: "warning", code, message, fix });

/** A gateway that has not reported for so long counts as dead (DESIGN.md section 2), ms. */
const DEAD_AFTER_MS = 30_000;
/** More than a report takes to the broker, and than the gap between two, so that what is apart by it has another clock, ms. */
const MOST_SKEW_MS = 5_000;
/** Records that a role may have before it without a word: it catches up with as many in seconds. */
const MUCH_LAG = 10_000;
const MOST_NAMES = 5;

/** A schema that is registered anew gets another id, which only roles that start later write with. */
const applySchemas = "headgate topics apply; where roles ran already, then restart all of them (docs/topics.md, `schema_missing`)";

/** What contracts ask for and the cluster or the registry does not have. */
export function differenceRemarks(differences: readonly Difference[]): InstallationRemark[] {
  return differences.map(({ topic, setting, wanted, actual, remedy }) => {
    const what = `${topic}: ${setting} is ${actual || "empty"}, not ${wanted}`;
    if (setting === "topic") return error("topic_missing", `the topic ${topic} does not exist (${wanted})`, "headgate topics apply");
    if (setting === "schema") return error("schema_missing", `the registry does not have the schema of ${topic}`, applySchemas);
    if (setting === "compatibility") return warning("compatibility", `the subject of ${what}`, "headgate topics apply");
    if (remedy === "refuse") return error("layout_mismatch", what, "docs/errors.md, LAYOUT_MISMATCH: counts of a prefix are never changed");
    if (setting === "cleanup.policy") return error("topic_setting", what, fixOf(remedy, topic));
    return warning("topic_setting", what, fixOf(remedy, topic));
  });
}

const fixOf = (remedy: Difference["remedy"], topic: string): string =>
  remedy === "apply" ? "headgate topics apply" : `somebody chose it, and apply does not undo that: alter ${topic} yourself if it was no choice`;

/** Roles without which nothing is decided; a judge is needed only where a spec asks for one. */
const needed: ReadonlySet<GroupRole> = new Set(["sampler", "aggregator-fold", "aggregator-window", "decider"]);
/** It keeps its commit back on purpose, at the oldest record that an open window needs. */
const commitsLate: ReadonlySet<GroupRole> = new Set(["aggregator-window"]);

/** How brokers and workers do. */
export function clusterRemarks({ leaderless, behind, groups }: Examination): InstallationRemark[] {
  const remarks: InstallationRemark[] = [];
  if (leaderless.length > 0) {
    remarks.push(error("no_leader", `no broker leads ${some(leaderless)}: they take and give no records`, "start the brokers that hold these partitions"));
  }
  if (behind.length > 0) remarks.push(warning("replicas_behind", `replicas are missing or behind of ${some(behind)}`, "look at the brokers"));
  for (const { role, members, lag } of groups) {
    if (members === 0) {
      const command = role.split("-", 1)[0];
      const message = `no ${role} works: its group has no member`;
      if (needed.has(role)) remarks.push(error("role_missing", message, `start headgate ${command}, or look at the log of the one that should run`));
      else remarks.push(warning("role_missing", `${message}; specs with a judge get no scores`, `start headgate ${command}`));
    } else if (lag !== null && lag > MUCH_LAG && !commitsLate.has(role)) {
      remarks.push(warning("role_behind", `${role} is ${lag} records behind`, "start more of it, up to the partitions of what it reads, if this number grows"));
    }
  }
  return remarks;
}

/** Routes whose newest table, which their decider has published, is not in `routing` any more: deleted, or the topic made anew. Deciders look for that at their start only. */
export function routingRemarks(
  states: ReadonlyMap<string, Pick<StateEntry, "epoch">>,
  tables: ReadonlyMap<string, Pick<RoutingTable, "epoch">>,
): InstallationRemark[] {
  return [...states].flatMap(([route, { epoch }]) => {
    const found = tables.get(route)?.epoch;
    if ((found ?? 0) >= epoch) return [];
    return error(
      "table_lost",
      `routing has lost the newest table of ${route}: the decider's is of epoch ${epoch}, the topic has ${found === undefined ? "none" : `epoch ${found}`}; a gateway that starts serves ${found === undefined ? "its file's baseline" : "that"}`,
      "restart headgate decider: it publishes the table again as it starts",
    );
  });
}

/** How gateways do, by what they last reported. */
export function fleetRemarks(reports: Iterable<FleetReport>, tables: ReadonlyMap<string, RoutingTable>, nowMs: number): InstallationRemark[] {
  const live = [...reports].filter((report) => report.role === "gateway" && !report.stopping && nowMs - heardAtMs(report) < DEAD_AFTER_MS);
  if (live.length === 0) {
    return [
      error("no_gateway", "no gateway has reported in the last 30 s", "start headgate gateway with this HEADGATE_PREFIX, or look at its log and /readyz"),
    ];
  }
  return live.flatMap((report) => [
    ...skewOf(report, nowMs),
    ...[...tables.values()].flatMap((table) => [...obedienceOf(report, table), ...brakeOf(report, table)]),
    ...(report.droppedRecords > 0
      ? [warning("records_dropped", `${report.instance} has lost ${report.droppedRecords} records since its start`, "docs/gateway.md, What is logged")]
      : []),
  ]);
}

/** By the broker's clock; by ours too, as a topic of before has only the writer's. */
function skewOf(report: FleetReport, nowMs: number): InstallationRemark[] {
  const { instance, atMs } = report;
  const byBroker = atMs - heardAtMs(report);
  const [offMs, whose] = Math.abs(byBroker) > MOST_SKEW_MS ? [byBroker, "the broker's"] : [Math.max(0, atMs - nowMs), "this machine's"];
  if (Math.abs(offMs) <= MOST_SKEW_MS) return [];
  const how = `${Math.round(Math.abs(offMs) / 1000)} s ${offMs < 0 ? "behind" : "ahead of"} ${whose}`;
  return [warning("clock_skew", `the clock of ${instance} is ${how}`, "synchronise both clocks (NTP)")];
}

function obedienceOf({ instance, routes, upstreams }: FleetReport, table: RoutingTable): InstallationRemark[] {
  const { route, epoch } = table;
  const missing = table.versions.filter(({ upstream }) => !upstreams.includes(upstream)).map(({ upstream }) => upstream);
  if (missing.length > 0) {
    const names = [...new Set(missing)].join(", ");
    return [error("upstream_unknown", `${instance} cannot obey epoch ${epoch} of ${route}: its file has no upstream ${names}`, "add it to the gateway's file")];
  }
  const served = routes.find((entry) => entry.route === route);
  if (served !== undefined && !served.static && served.epoch >= epoch) return [];
  const what = served === undefined || served.static ? "its file's baseline" : `epoch ${served.epoch}`;
  return [error("disobeys", `${instance} serves ${what} on ${route}, not epoch ${epoch}`, `headgate doctor --gateway of ${instance} tells why`)];
}

/** A brake that the decider has heard of ends the attempt: its table has nothing for the candidate any more. */
function brakeOf({ instance, routes }: FleetReport, table: RoutingTable): InstallationRemark[] {
  const { route, phase, rollout, attempt } = table;
  const isBraked = routes.some((entry) => entry.route === route && entry.braked);
  if (!isBraked || !exposesCandidate(table)) return [];
  return [
    error(
      "braked",
      `${instance} is braked on ${route}, while attempt ${attempt} of ${rollout} goes on (${phase}): its callers get the baseline`,
      `headgate rollout rollback ${route}, or headgate brake ${route}; a brake that was given seconds ago gets there by itself`,
    ),
  ];
}

function some(names: readonly string[]): string {
  return names.length <= MOST_NAMES ? names.join(", ") : `${names.slice(0, MOST_NAMES).join(", ")} and ${names.length - MOST_NAMES} more`;
}
