import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { writeBundle } from "../../../../src/cli/replay/bundle.ts";
import { EventShelf } from "../../../../src/cli/replay/event-shelf.ts";
import type { History } from "../../../../src/cli/replay/history.ts";
import { version } from "../../../../src/config/version.ts";
import { hashOf } from "../../../../src/domain/rollout/gate-event.ts";
import type { EvidenceEntry, GateEvent } from "../../../../topics/index.ts";
import { deps, route } from "../../../fixtures/rollout-world.ts";
import type { RecordedWorld } from "../../domain/replay/recorded-world.ts";

/** A folder that ends with the test. */
export function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "headgate-replay-"));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

/** Events as this version of the code publishes them: with its number, hashed and chained anew. */
export function publishedHere(events: readonly GateEvent[]): GateEvent[] {
  const out: GateEvent[] = [];
  for (const event of events) {
    const own = { ...event, codeVersion: version, previousHash: out.at(-1)?.hash ?? "" };
    out.push({ ...own, hash: hashOf(own, deps) });
  }
  return out;
}

/** The history of a world as a topic would hold it. */
export function historyOf(world: Pick<RecordedWorld, "journal" | "events">, over: Partial<History> = {}): History {
  const events = new EventShelf();
  for (const event of publishedHere(world.events)) events.put(event);
  return {
    route,
    rollout: null,
    from: "headgate.evidence, partition 1",
    partition: 1,
    events,
    isEventHeadGone: false,
    evidenceFromOffset: 0,
    evidenceToOffset: world.journal.length,
    readEvidence: async (take) => void world.journal.every((entry: EvidenceEntry, i) => take(entry, (over.evidenceFromOffset ?? 0) + i)),
    readCatalog: async (digests) => [...digests].map((digest) => ({ digest, kind: "spec" as const, name: "", text: "text", atMs: 1 })),
    close: async () => undefined,
    ...over,
  };
}

export async function bundleOf(path: string, world: Pick<RecordedWorld, "journal" | "events">, over: Partial<History> = {}): Promise<string> {
  await writeBundle(path, historyOf(world, over), 1);
  return path;
}
