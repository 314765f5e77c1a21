import type { RoutingTable, ServedVersion } from "../../../topics/index.ts";
import { type JsonObject, parseParameters, RESERVED_PARAMETERS } from "./merge-parameters.ts";
import { bucketsServedBy, rangeProblems } from "./ranges.ts";

/** A version as a gateway serves it: the parameters parsed once. */
export interface Version {
  readonly name: string;
  readonly upstream: string;
  readonly model: string;
  readonly parameters: JsonObject;
  readonly systemTemplate: string | null;
}

/** A validated routing table, ready to be assigned from. */
export interface RouteTable {
  readonly table: RoutingTable;
  readonly versions: ReadonlyMap<string, Version>;
  readonly baseline: Version;
  /** null when the table names none that is served or mirrored to. */
  readonly candidate: Version | null;
}

export type Compiled = { readonly kind: "valid"; readonly routeTable: RouteTable } | { readonly kind: "refused"; readonly problems: readonly string[] };

function versionProblems(version: ServedVersion, isKnownUpstream: (name: string) => boolean): string[] {
  const problems: string[] = [];
  if (!isKnownUpstream(version.upstream)) problems.push(`version ${version.name} names the unknown upstream ${version.upstream}`);
  const parameters = parseParameters(version.parameters);
  if (parameters === null) problems.push(`parameters of version ${version.name} are not a JSON object`);
  for (const name of Object.keys(parameters ?? {})) {
    if (RESERVED_PARAMETERS.includes(name)) problems.push(`version ${version.name} may not set ${name}`);
  }
  return problems;
}

/**
 * What is wrong with a table, as sentences; empty when a gateway that knows these upstreams can obey it.
 */
export function validateTable(table: RoutingTable, isKnownUpstream: (name: string) => boolean): string[] {
  const names = new Set(table.versions.map(({ name }) => name));
  const problems = [...rangeProblems(table.ranges), ...table.versions.flatMap((version) => versionProblems(version, isKnownUpstream))];
  if (names.size !== table.versions.length) problems.push("two versions have the same name");
  if (!names.has(table.baseline)) problems.push(`the baseline ${table.baseline} is not among the versions`);
  for (const { arm, version } of table.ranges) {
    if (!names.has(version)) problems.push(`the range of ${arm} names the unknown version ${version}`);
    if (arm === "other") problems.push("a range has an arm that this gateway does not know");
  }
  if (table.shadowPpm > 0 && !names.has(table.candidate)) problems.push(`the shadow goes to ${table.candidate}, which is not among the versions`);
  if (table.paneMs < 1) problems.push("paneMs must be at least 1");
  return problems;
}

/** Validates a table and makes it ready to assign from. */
export function compileTable(table: RoutingTable, isKnownUpstream: (name: string) => boolean): Compiled {
  const problems = validateTable(table, isKnownUpstream);
  const versions = new Map(table.versions.map((version) => [version.name, { ...version, parameters: parseParameters(version.parameters) ?? {} }]));
  const baseline = versions.get(table.baseline);
  if (problems.length > 0 || baseline === undefined) return { kind: "refused", problems };
  return { kind: "valid", routeTable: { table, versions, baseline, candidate: versions.get(table.candidate) ?? null } };
}

/** Whether a table gives its candidate any call, to answer or to mirror. */
export function exposesCandidate({ ranges, shadowPpm }: RoutingTable): boolean {
  return shadowPpm > 0 || ranges.some(({ arm, from, to }) => arm === "candidate" && to > from);
}

/**
 * Whether a table exposes fewer users, or fewer prompts, to the candidate of an older one. A gateway that cannot obey a newer table
 * (it names an upstream that it does not know) may stay on the older one only if the newer one does not ask for less: it never exceeds the
 * newest table that it has received.
 */
export function asksForLess(newer: RoutingTable, older: RoutingTable): boolean {
  const shareOf = (table: RoutingTable) => bucketsServedBy(table.ranges, older.candidate);
  const sameAttempt = newer.rollout === older.rollout && newer.attempt === older.attempt;
  return !sameAttempt || shareOf(newer) < shareOf(older) || newer.shadowPpm < older.shadowPpm;
}
