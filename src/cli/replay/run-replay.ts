import { createHash } from "node:crypto";
import type { GateEvent } from "../../../topics/index.ts";
import { version } from "../../config/version.ts";
import { type Missing, Replay, type Replayed, type ReplayResult } from "../../domain/replay/replay.ts";
import type { ReducerDeps } from "../../domain/rollout/gate-event.ts";
import { KnownError } from "../../errors/known-error.ts";
import type { History } from "./history.ts";

/** What the decider gives its reducer, and so what a replay gives it. */
export const replayDeps: ReducerDeps = { sha256: (text) => createHash("sha256").update(text, "utf8").digest("hex"), codeVersion: version };

/**
 * Replays a history to its end.
 *
 * @param look sees each step; answers false to stop there
 * @throws {KnownError} NOT_FOUND: nothing is known of the route, and nothing was deleted
 */
export async function runReplay(history: History, look: (replayed: Replayed, replay: Replay) => boolean = () => true): Promise<ReplayResult> {
  const { route, events, isEventHeadGone, evidenceFromOffset } = history;
  const replay = new Replay({ route, deps: replayDeps, takeEvent: (id) => events.take(id), isEventHeadGone, evidenceFromOffset });
  const wasKnown = events.size > 0;
  let isStopped = false;
  let count = 0;
  await history.readEvidence((entry, offset) => {
    count += 1;
    const replayed = replay.take(entry, offset);
    if (replayed !== null && !look(replayed, replay)) isStopped = true;
    return !replay.isOver && !isStopped;
  });
  if (count > 0) return replay.finish(isStopped || replay.isOver ? undefined : oldest(events.left()));
  if (!wasKnown && evidenceFromOffset === 0) {
    throw new KnownError("NOT_FOUND", `${history.from} holds no evidence of ${route}`, { fix: "headgate rollout list shows the routes; check the prefix" });
  }
  const lastSeq = [...events.left()].reduce((last, { evidenceSeq }) => Math.max(last, evidenceSeq), 0);
  const missing: Missing = { topic: "evidence", fromSeq: 1, toSeq: lastSeq, fromOffset: 0, toOffset: evidenceFromOffset - 1 };
  return { kind: "incomplete", missing: [missing], inputs: 0, decisions: 0, fromMs: 0, toMs: 0, notes: [] };
}

function oldest(events: Iterable<GateEvent>): GateEvent | undefined {
  let found: GateEvent | undefined;
  for (const event of events) if (found === undefined || event.evidenceSeq < found.evidenceSeq) found = event;
  return found;
}
