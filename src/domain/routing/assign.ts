import type { RoutingTable } from "../../../topics/index.ts";
import { bucketOf, isMirrored } from "./buckets.ts";
import type { EffectiveTable } from "./effective-table.ts";
import type { Version } from "./route-table.ts";

type Arm = RoutingTable["ranges"][number]["arm"];

/** Which arm and version a call gets, and the attribution that goes with it into its record. */
export interface Assignment {
  readonly version: Version;
  readonly arm: Arm;
  readonly exposure: "served" | "shadow";
  readonly rollout: string;
  readonly attempt: number;
  readonly step: number;
  readonly epoch: number;
  readonly paneMs: number;
  readonly samplePpm: number;
}

/** Pane length of a route that has no table, ms. */
export const DEFAULT_PANE_MS = 60_000;

/** Probability that a call of an arm is drawn for judging; without a rollout the baseline's rate applies. */
function sampleRate(rates: RoutingTable["samplePpm"], arm: Arm): number {
  if (arm === "candidate") return rates.candidate;
  if (arm === "holdback") return rates.holdback;
  return rates.baseline;
}

/**
 * Assigns a subject to an arm and a version.
 *
 * Under a hold (brake, staleness) the baseline serves everybody. A subject whose arm is thereby displaced is recorded with arm `none` and is
 * never sampled: it is no evidence for either side, and counting it as baseline would show one subject in two arms. Whoever the
 * baseline serves anyway keeps their arm.
 */
export function assign({ routeTable, hold }: EffectiveTable, subject: string): Assignment {
  const { table, versions, baseline } = routeTable;
  const bucket = bucketOf(table.salt, subject);
  const range = table.ranges.find(({ from, to }) => bucket >= from && bucket < to);
  const version = versions.get(range?.version ?? table.baseline) ?? baseline;
  const arm = range?.arm ?? "none";
  const common = { rollout: table.rollout, attempt: table.attempt, step: table.step, epoch: table.epoch, paneMs: table.paneMs, exposure: "served" } as const;
  if (hold !== null && version.name !== baseline.name) return { ...common, version: baseline, arm: "none", samplePpm: 0 };
  return { ...common, version, arm, samplePpm: sampleRate(table.samplePpm, arm) };
}

/**
 * The assignment of a call in the middle of a conversation. A step up adds its subject to the candidate, but the baseline that served the conversation so
 * far goes on with it while the table still gives subjects to that version; the call is on no arm then. Every other change is obeyed at once: whatever
 * moves away from the candidate (rollback, contraction, hold), and a version that serves nobody any more.
 *
 * @param last version that served the conversation; undefined when it is not known
 */
export function assignContinued(effective: EffectiveTable, assigned: Assignment, last: string | undefined): Assignment {
  const { table, baseline } = effective.routeTable;
  const isAdded = last === baseline.name && assigned.version.name !== baseline.name;
  if (!isAdded || !table.ranges.some(({ version }) => version === last)) return assigned;
  return { ...assigned, version: baseline, arm: "none", samplePpm: 0 };
}

/**
 * The assignment of a call that goes on with a stored answer of which nobody here knows whose it is: another gateway served it, or this one before its
 * start. Only the version that stored the answer can go on with it. A subject that is named tells which that was, but for a step in between; for
 * others it is most likely the version that most subjects have. Either way the call is on no arm: an error would be the lost answer's and not the
 * version's.
 */
export function assignStranger({ routeTable, hold }: EffectiveTable, assigned: Assignment, isNamed: boolean): Assignment {
  const { table, versions, baseline } = routeTable;
  const nobodys = { ...assigned, arm: "none", samplePpm: 0 } as const;
  if (isNamed || hold !== null) return nobodys;
  const buckets = new Map<string, number>();
  for (const { version, from, to } of table.ranges) buckets.set(version, (buckets.get(version) ?? 0) + to - from);
  const most = [...buckets].reduce((best, each) => (each[1] > best[1] ? each : best), [baseline.name, buckets.get(baseline.name) ?? 0] as const);
  return { ...nobodys, version: versions.get(most[0]) ?? baseline };
}

/** Assignment of a call on a route that never had a table: the gateway's own configuration serves it. */
export function assignStatic(version: Version): Assignment {
  return { version, arm: "none", exposure: "served", rollout: "", attempt: 0, step: -1, epoch: 0, paneMs: DEFAULT_PANE_MS, samplePpm: 0 };
}

/**
 * The assignment of the mirror of a served call, or null when it is not mirrored: only calls of the baseline arm are, by a hash of the
 * request id, and none under a hold.
 */
export function assignShadow({ routeTable, hold }: EffectiveTable, served: Assignment, requestId: string): Assignment | null {
  const { table, candidate } = routeTable;
  if (hold !== null || candidate === null || served.arm !== "baseline" || !isMirrored(requestId, table.shadowPpm)) return null;
  return { ...served, version: candidate, arm: "candidate", exposure: "shadow", samplePpm: table.samplePpm.shadow };
}
