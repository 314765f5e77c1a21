import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Replay, type ReplayResult, type ReplaySource } from "../../../../src/domain/replay/replay.ts";
import { hashOf } from "../../../../src/domain/rollout/gate-event.ts";
import type { EvidenceEntry, GateEvent } from "../../../../topics/index.ts";
import { deps, good, route, spec, story } from "../../../fixtures/rollout-world.ts";
import { RecordedWorld } from "./recorded-world.ts";

interface History {
  readonly journal: readonly EvidenceEntry[];
  readonly events: readonly GateEvent[];
}

function replay({ journal, events }: History, over: Partial<ReplaySource> = {}): ReplayResult {
  const shelf = new Map(events.map((event) => [event.id, event]));
  const takeEvent = (id: string) => {
    const event = shelf.get(id);
    shelf.delete(id);
    return event;
  };
  const replaying = new Replay({ route, deps, takeEvent, isEventHeadGone: false, evidenceFromOffset: 0, ...over });
  journal.forEach((entry, i) => void replaying.take(entry, 10 + i));
  return replaying.finish([...shelf.values()][0]);
}

function rolledBack(): RecordedWorld {
  const world = new RecordedWorld({ candidate: { ...good, schemaFail: 0.2 } });
  world.apply(spec({ shadow: { share: 0 } }));
  world.minutes(40, ({ state }) => state.current?.phase === "rolled_back");
  assert.equal(world.state.current?.phase, "rolled_back", story(world));
  return world;
}

const bad = rolledBack();
const with_ = (over: Partial<History>): History => ({ journal: bad.journal, events: bad.events, ...over });
const changed = <V>(list: readonly V[], at: number, change: (value: V) => V): V[] => list.map((value, i) => (i === at ? change(value) : value));

describe("replaying a history", () => {
  it("gives the same decisions", () => {
    const result = replay(bad);
    assert.deepEqual(result, {
      kind: "same",
      inputs: bad.journal.length,
      decisions: bad.events.length,
      fromMs: bad.journal[0]?.atMs,
      toMs: bad.journal.at(-1)?.atMs,
      notes: [],
    });
  });

  it("names the first difference when an input was tampered with", () => {
    const at = bad.journal.findIndex(({ kind, input }) => kind === "pane" && input.includes('"schema_validity"'));
    const journal = changed(bad.journal, at, (entry) => ({
      ...entry,
      input: entry.input.replace(/("signal":"schema_validity","kind":"binary".*?"counts":)\[\d+(,\d+)?\]/, (_all, head: string, tail?: string) =>
        tail === undefined ? `${head}[7]` : `${head}[7,7]`,
      ),
    }));
    assert.notEqual(journal[at]?.input, bad.journal[at]?.input);
    const result = replay(with_({ journal }));
    assert.equal(result.kind, "different");
    assert.ok(result.kind === "different" && result.difference.seq >= (journal[at]?.seq ?? 0) && result.difference.field !== "");
  });

  it("names field, record and values: an event that was changed, with and without a new hash", () => {
    const last = bad.events.length - 1;
    const edited = replay(with_({ events: changed(bad.events, last, (event) => ({ ...event, reasons: ["operator"] })) }));
    assert.ok(edited.kind === "different");
    assert.deepEqual([edited.difference.field, edited.difference.recorded, edited.difference.computed], ["gateEvent.reasons[0]", "operator", "signal_breach"]);
    assert.match(edited.difference.message, /does not have the hash/);
    const forged = replay(
      with_({
        events: changed(bad.events, last, (event) => {
          const other = { ...event, toSharePpm: 100_000 };
          return { ...other, hash: hashOf(other, deps) };
        }),
      }),
    );
    assert.ok(forged.kind === "different");
    assert.deepEqual([forged.difference.field, forged.difference.seq], ["gateEvent.toSharePpm", bad.events[last]?.evidenceSeq]);
    assert.match(forged.difference.message, /decided otherwise/);
  });

  it("sees an epoch, a clock and an input that do not fit, an event too many, and one that is missing", () => {
    const field = (history: Partial<History>) => {
      const result = replay(with_(history));
      return result.kind === "different" ? result.difference.field : result.kind;
    };
    assert.equal(field({ journal: changed(bad.journal, 0, (entry) => ({ ...entry, epoch: 7 })) }), "epoch");
    assert.equal(field({ journal: changed(bad.journal, 2, (entry) => ({ ...entry, atMs: 7 })) }), "atMs");
    assert.equal(field({ journal: changed(bad.journal, 2, (entry) => ({ ...entry, input: "{" })) }), "input");
    assert.equal(field({ journal: changed(bad.journal, 2, (entry) => ({ ...entry, input: '{"kind":"spec","atMs":1}' })) }), "kind");
    assert.equal(field({ journal: changed(bad.journal, 0, (entry) => ({ ...entry, gateEventIds: [] })) }), "gateEventIds[0]");
    assert.equal(field({ events: bad.events.slice(0, -1) }), "gateEvent.id");
    assert.equal(field({ events: [...bad.events, { ...(bad.events[0] as GateEvent), id: "more", evidenceSeq: 1 }] }), "gateEvent.id");
    assert.equal(field({ journal: [...bad.journal, ...bad.journal.slice(-1)] }), "seq");
  });

  it("says which sequence numbers and offsets are missing, at the head, in the middle and at the end", () => {
    const head = replay(with_({ journal: bad.journal.slice(5) }), { evidenceFromOffset: 8 });
    assert.ok(head.kind === "incomplete");
    assert.deepEqual(head.missing, [{ topic: "evidence", fromSeq: 1, toSeq: 5, fromOffset: 0, toOffset: 7 }]);
    const middle = replay(with_({ journal: [...bad.journal.slice(0, 3), ...bad.journal.slice(4)].map((entry) => entry) }));
    assert.ok(middle.kind === "incomplete");
    assert.deepEqual([middle.missing[0]?.fromSeq, middle.missing[0]?.toSeq, middle.inputs], [4, 4, 3]);
    const lastSeq = bad.events.at(-1)?.evidenceSeq ?? 0;
    const end = replay(with_({ journal: bad.journal.slice(0, lastSeq - 1) }));
    assert.ok(end.kind === "incomplete");
    assert.deepEqual([end.missing[0]?.fromSeq, end.missing[0]?.toSeq], [lastSeq, lastSeq]);
  });

  it("recomputes also without the first gate events, and says which are gone", () => {
    const result = replay(with_({ events: bad.events.slice(1) }), { isEventHeadGone: true });
    assert.ok(result.kind === "incomplete");
    assert.deepEqual(result.missing, [{ topic: "gate-events", fromSeq: 1, toSeq: 1, fromOffset: -1, toOffset: -1 }]);
    assert.equal(result.decisions, bad.events.length - 1);
  });

  it("compares the decisions alone where another version decided, and says so", () => {
    const older = bad.events.map((event) => ({ ...event, codeVersion: "0.0.9", message: "in other words" }));
    const result = replay(with_({ events: older.map((event, i) => ({ ...event, previousHash: older[i - 1]?.hash ?? "" })) }));
    assert.equal(result.kind, "same");
    assert.match(result.notes.join(), /decided by version 0\.0\.9/);
    const other = replay(with_({ events: changed(older, older.length - 1, (event) => ({ ...event, action: "frozen" as const })) }));
    assert.ok(other.kind === "different");
    assert.equal(other.difference.field, "gateEvent.action");
  });

  it("goes on where a lost state made the decider begin anew", () => {
    const again = rolledBack();
    const result = replay(bad);
    assert.equal(result.kind, "same");
    const shelf = new Map<string, GateEvent[]>();
    for (const event of [...bad.events, ...again.events]) shelf.set(event.id, [...(shelf.get(event.id) ?? []), event]);
    const replaying = new Replay({ route, deps, takeEvent: (id) => shelf.get(id)?.shift(), isEventHeadGone: false, evidenceFromOffset: 0 });
    [...bad.journal, ...again.journal].forEach((entry, i) => void replaying.take(entry, i));
    const both = replaying.finish();
    assert.deepEqual([both.kind, both.inputs], ["same", bad.journal.length + again.journal.length]);
    assert.match(both.notes.join(), /begins anew/);
  });

  it("refuses inputs of a layout that it does not know", () => {
    assert.throws(() => replay(with_({ journal: changed(bad.journal, 1, (entry) => ({ ...entry, layout: 99 })) })), /LAYOUT_UNKNOWN|layout 99/);
  });

  it("property: any history gives the same decisions, and without one of its records it does not", () => {
    const verbs = fc.constantFrom("pause", "resume", "promote", "rollback", "approve", "retry", "undo", "freeze", "thaw");
    const acts = fc.array(fc.oneof(verbs, fc.integer({ min: 1, max: 8 })), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(acts, fc.integer({ min: 1, max: 1_000 }), fc.double({ min: 0, max: 0.1, noNaN: true }), fc.nat(), (list, seed, schemaFail, cut) => {
        const world = new RecordedWorld({ seed, candidate: { ...good, schemaFail }, callsPerMinute: 120 });
        world.apply();
        for (const act of list) {
          if (typeof act === "number") world.minutes(act);
          else world.command(act as "pause");
        }
        const whole = replay(world);
        assert.equal(whole.kind, "same", JSON.stringify(whole));
        const at = cut % world.journal.length;
        const without = replay({ journal: world.journal.filter((_, i) => i !== at), events: world.events });
        if (at < world.journal.length - 1 || (world.journal.at(-1)?.gateEventIds.length ?? 0) > 0) assert.notEqual(without.kind, "same");
      }),
      { numRuns: 8 },
    );
  });
});
