import type { Brake } from "../../../../topics/index.ts";
import { type Snapshot, trustedFreshness } from "./snapshot.ts";
import { isSameBrake } from "./unwritten-brakes.ts";

/**
 * What several gateways that share a directory knew, as one: every brake of each, and of each route the newest tables. Nothing that one of them was
 * told to stop runs again because another one was not told.
 *
 * The brake on all routes is lifted for good by a clearing that one of them saw and that is younger than everything the braked one had kept.
 */
export function uniteSnapshots(snapshots: readonly Snapshot[], nowMs: number): Omit<Snapshot, "writtenAtMs"> {
  const clearedAtMs = Math.max(-1, ...snapshots.map(({ brakes }) => brakes.clearedAtMs));
  const isCleared = (one: Snapshot) => snapshots.some(({ brakes }) => !brakes.all && brakes.clearedAtMs > Math.max(one.brakes.clearedAtMs, one.writtenAtMs));
  // A refused table must come after the one that is obeyed instead, and the newest after all.
  const tables = snapshots.flatMap((each) => each.tables).sort((a, b) => a.epoch - b.epoch);
  return {
    tables,
    brakes: {
      attempts: [...new Set(snapshots.flatMap(({ brakes }) => brakes.attempts))],
      all: snapshots.some((each) => each.brakes.all && !isCleared(each)),
      clearedAtMs,
    },
    unwritten: unitedBrakes(snapshots).filter(({ route, atMs }) => route !== "*" || atMs >= clearedAtMs),
    freshAtMs: Math.max(0, ...snapshots.map((each) => trustedFreshness(each, nowMs))),
  };
}

function unitedBrakes(snapshots: readonly Snapshot[]): Brake[] {
  const found: Brake[] = [];
  for (const brake of snapshots.flatMap(({ unwritten }) => unwritten)) if (!found.some((known) => isSameBrake(known, brake))) found.push(brake);
  return found;
}
