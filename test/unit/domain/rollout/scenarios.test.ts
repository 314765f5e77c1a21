import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RolloutSpec } from "../../../../topics/rollout-spec.ts";
import { type Behaviour, good, spec, startMs, story, World, type WorldOptions } from "../../../fixtures/rollout-world.ts";

const MINUTE = 60_000;
const isOver = (world: World) => world.state.current?.phase === "done" || world.state.current?.phase === "rolled_back";

function run(options: WorldOptions, over: Partial<RolloutSpec> = {}, minutes = 400): World {
  const world = new World(options);
  world.apply(spec(over));
  world.minutes(minutes, isOver);
  return world;
}
const gateOf = (world: World, action: string, gate: string) =>
  world.events.find((event) => event.action === action)?.gates.find((found) => found.gate === gate)?.verdict;
const noShadow = { shadow: { share: 0 } };
const outage = (fromMinute: number, minutes: number, during: Behaviour) => (atMs: number) =>
  atMs >= startMs + fromMinute * MINUTE && atMs < startMs + (fromMinute + minutes) * MINUTE ? during : good;

describe("a rollout", () => {
  it("of an equal candidate climbs from shadow over every step to done, one step per decision", () => {
    const world = run({ seed: 11 });
    assert.equal(world.state.current?.phase, "done", story(world));
    const moves = world.events.filter(({ action }) => action !== "held").map(({ action, toPhase, toSharePpm }) => [action, toPhase, toSharePpm]);
    assert.deepEqual(moves, [
      ["started", "shadow", 0],
      ["advanced", "canary", 100_000],
      ["advanced", "canary", 500_000],
      ["advanced", "observing", 950_000],
      ["done", "done", 1_000_000],
    ]);
    assert.equal(world.table?.baseline, "new@1");
    assert.deepEqual(world.table?.ranges, [{ arm: "none", version: "new@1", from: 0, to: 10_000 }]);
    assert.deepEqual(
      world.table?.versions.map(({ name }) => name),
      ["new@1", "old@1"],
      "the fallback stays warm",
    );
    const observing = world.tables.find(({ phase }) => phase === "observing");
    assert.deepEqual(
      observing?.ranges.map(({ arm, from, to }) => [arm, from, to]),
      [
        ["candidate", 0, 9_500],
        ["holdback", 9_500, 10_000],
      ],
    );
    assert.deepEqual(
      world.tables.map(({ valueCaps }) => valueCaps.map(({ signal }) => signal)).at(-2),
      ["latency_p95", "cost_per_request"],
      "caps are announced",
    );
    assert.deepEqual(
      world.tables.filter(({ reason }) => reason !== "sampling_rates").map(({ staleAfterMs }) => staleAfterMs),
      [60_000, 60_000, 60_000, 600_000, 0],
    );
  });

  it("leaves a shadow in which nothing can be proven only after 200 mirrored calls, and never calls it safe", () => {
    const world = run({ callsPerMinute: 30 }, { signals: ["latency_p95"], confidence: "none" }, 8);
    const event = world.events.find(({ action }) => action === "advanced");
    assert.deepEqual([event?.toStep, event?.reasons, event?.advanceWithoutProof], [0, ["advance_without_proof"], true], story(world));
    assert.equal(event?.atMs, startMs + 7 * MINUTE, "30 calls a minute are 200 after the seventh");
    assert.match(event?.message ?? "", /nothing can be proven in shadow/);
  });

  it("of a candidate that breaks the schema ends in shadow, by the confidence gate alone", () => {
    const world = run({ candidate: { ...good, schemaFail: 0.05 } });
    const end = world.events.at(-1);
    assert.deepEqual([end?.action, end?.fromPhase, end?.reasons], ["rolled_back", "shadow", ["signal_breach"]], story(world));
    assert.deepEqual([gateOf(world, "rolled_back", "confidence"), gateOf(world, "rolled_back", "cohort")], ["roll_back", "pass"]);
    assert.match(end?.message ?? "", /schema_validity/);
    assert.ok(
      world.tables.every(({ ranges }) => ranges.every(({ arm }) => arm !== "candidate")),
      "nobody saw it",
    );
  });

  it("announces a cap as soon as it is known, also when the same pane changes the reasons", () => {
    const world = new World({ seed: 31, callsPerMinute: 20 });
    world.apply(spec({ shadow: { share: 0 }, ladder: [50, 100] }));
    const knownCaps = () => world.state.current?.signals.filter(({ cap }) => cap !== null).length ?? 0;
    for (let i = 0; i < 60; i++) {
      world.minutes(1);
      assert.equal(world.table?.valueCaps.length, knownCaps(), `minute ${i + 1}\n${story(world)}`);
    }
    assert.equal(knownCaps(), 2);
  });

  it("of a candidate that completes fewer tasks is frozen, then rolled back in canary, by the confidence gate alone", () => {
    const world = run({ candidate: { ...good, taskFail: 0.35 } }, noShadow);
    assert.deepEqual(
      world.events.filter(({ action }) => action !== "held").map(({ action }) => action),
      ["started", "frozen", "rolled_back"],
      story(world),
    );
    assert.equal(gateOf(world, "rolled_back", "confidence"), "roll_back");
    assert.notEqual(gateOf(world, "rolled_back", "cohort"), "roll_back");
    assert.deepEqual(world.table?.ranges, [{ arm: "none", version: "old@1", from: 0, to: 10_000 }]);
    assert.equal(world.table?.rollout, "");
  });

  it("of a slower candidate is frozen by the cohort gate while the confidence gate comes to pass, and is never rolled back", () => {
    const world = run({ candidate: { ...good, medianMs: 1_600 } }, {}, 150);
    assert.deepEqual([world.state.current?.phase, world.state.current?.frozen?.about], ["canary", "latency_p95"], story(world));
    const events = world.events.filter(({ condition }) => condition === "frozen");
    assert.ok(events.every(({ gates }) => gates.find(({ gate }) => gate === "cohort")?.verdict === "freeze"));
    assert.ok(
      events.some(({ gates }) => gates.find(({ gate }) => gate === "confidence")?.verdict === "pass"),
      story(world),
    );
    assert.ok(world.events.every(({ action }) => action !== "rolled_back" && action !== "thawed"));
  });

  it("with a slower candidate steps down when the spec asks for contraction, last added subjects first", () => {
    const signals: RolloutSpec["signals"] = ["schema_validity", "task_completion", "error_rate", { name: "latency_p95", onBreach: "contract" }];
    const late = (atMs: number) => (atMs > startMs + 60 * MINUTE ? { ...good, medianMs: 2_000 } : good);
    const world = run({ candidateAt: late, seed: 3 }, { ...noShadow, signals, dwell: { min: "10m", minLate: "120m", max: "24h" } }, 140);
    const down = world.events.find(({ action }) => action === "contracted");
    assert.deepEqual([down?.fromStep, down?.toStep, down?.toSharePpm], [1, 0, 100_000], story(world));
    assert.equal(world.state.current?.attempt, 1);
    assert.deepEqual(world.table?.ranges[0], { arm: "candidate", version: "new@1", from: 0, to: 1_000 });
  });

  it("that was hit by an outage of one minute freezes, thaws naming the panes, and climbs on", () => {
    const world = run({ candidateAt: outage(12, 1, { ...good, errors: 1 }), seed: 5 }, noShadow);
    const thaw = world.events.find(({ action }) => action === "thawed");
    assert.ok(thaw, story(world));
    assert.ok(thaw.setAsidePanes.includes(startMs + 12 * MINUTE) && thaw.setAsidePanes.length <= 2);
    assert.deepEqual(thaw.reasons, ["set_aside"]);
    assert.equal(world.state.current?.phase, "done", story(world));
  });

  it("that was hit by an outage of twenty minutes is rolled back", () => {
    const world = run({ candidateAt: outage(12, 20, { ...good, errors: 1 }), seed: 5 }, noShadow);
    assert.equal(world.events.at(-1)?.action, "rolled_back", story(world));
    assert.ok((world.events.at(-1)?.atMs ?? 0) <= startMs + 18 * MINUTE, "within minutes of evidence");
  });

  it("that breaches while everybody but the holdback is served freezes, restarts the clock, and rolls back also for latency", () => {
    const late = (world: { phase?: string | undefined }) => (world.phase === "observing" ? { ...good, medianMs: 2_500 } : good);
    const place: { phase?: string | undefined } = {};
    const world = new World({ candidateAt: () => late(place), seed: 6, callsPerMinute: 1_200 });
    world.apply(spec({ ...noShadow, ladder: [50, 100], observation: "10h", holdback: 10 }));
    world.minutes(200, (found) => {
      place.phase = found.state.current?.phase;
      return isOver(found);
    });
    assert.deepEqual([world.events.at(-1)?.action, world.events.at(-1)?.fromPhase], ["rolled_back", "observing"], story(world));
    assert.ok(world.events.some(({ action, toPhase }) => action === "frozen" && toPhase === "observing"));
  });

  it("does not climb without evidence, whatever time passes", () => {
    const world = run({ callsPerMinute: 0 }, noShadow, 120);
    assert.deepEqual([world.state.current?.phase, world.state.current?.step], ["canary", 0], story(world));
  });

  it("holds at once and freezes when the candidate falls silent, and goes on when it is heard again", () => {
    const world = new World({ seed: 8, callsPerMinute: 600 });
    world.apply(spec({ ...noShadow, dwell: { min: "60m", minLate: "60m", max: "24h" } }));
    world.minutes(5);
    const silenced = new World({ seed: 9, callsPerMinute: 600 });
    silenced.state = world.state;
    silenced.tables.push(...world.tables);
    silenced.atMs = world.atMs;
    const traffic = silenced.traffic.bind(silenced);
    silenced.traffic = (atMs) => traffic(atMs).filter(({ arm }) => arm !== "candidate");
    silenced.minutes(20);
    assert.equal(silenced.state.current?.frozen?.cause, "silence", story(silenced));
    assert.deepEqual(silenced.events.find(({ action }) => action === "frozen")?.reasons, ["stale"]);
    silenced.traffic = traffic;
    silenced.minutes(3);
    assert.deepEqual(silenced.events.find(({ action }) => action === "thawed")?.reasons, ["data_returned"], story(silenced));
    assert.equal(silenced.state.current?.isSetAside, false, "silence is no evidence, so nothing is set aside");
  });

  it("may leave a small step without proof when that is declared, and the event says so", () => {
    const world = run(
      { callsPerMinute: 600, seed: 21 },
      { ...noShadow, ladder: [5, 100], advanceOn: "not_breached", signals: ["task_completion", "error_rate"] },
      60,
    );
    const up = world.events.find(({ action }) => action === "advanced");
    assert.deepEqual([up?.advanceWithoutProof, up?.reasons], [true, ["advance_without_proof"]], story(world));
    const task = up?.signals.find(({ signal }) => signal === "task_completion");
    assert.ok(task !== undefined && up !== undefined && up.logA < 0);
  });

  it("waits for an approval after both gates pass, and for the end of a freeze window", () => {
    const window = { from: new Date(startMs).toISOString(), to: new Date(startMs + 90 * MINUTE).toISOString(), reason: "holidays" };
    const world = run({ seed: 4 }, { ...noShadow, ladder: [50, 100], approvals: [0], freezeWindows: [window] }, 80);
    assert.deepEqual(world.state.current?.reasons, ["awaiting_approval"], story(world));
    world.command("approve");
    world.minutes(2);
    assert.deepEqual(world.state.current?.reasons, ["freeze_window"], story(world));
    world.minutes(12);
    assert.equal(world.state.current?.phase, "observing", story(world));
  });

  it("that is undecided at its longest dwell says so, and steps down after the time that is left to a person", () => {
    const place: { step?: number | undefined } = {};
    const worse = { ...good, taskFail: 0.13 };
    const world = new World({ candidateAt: () => ((place.step ?? 0) >= 1 ? worse : good), seed: 13, callsPerMinute: 100 });
    world.apply(spec({ ...noShadow, ladder: [40, 70, 100], dwell: { min: "10m", minLate: "10m", max: "20m", undecided: "20m" }, holdback: 2 }));
    world.minutes(120, (found) => {
      place.step = found.state.current?.step;
      return found.events.some(({ action }) => action === "contracted");
    });
    const down = world.events.at(-1);
    assert.deepEqual([down?.action, down?.fromStep, down?.toStep, down?.reasons], ["contracted", 1, 0, ["inconclusive", "max_dwell"]], story(world));
    const held = world.events.filter(({ reasons, fromStep }) => reasons.includes("max_dwell") && fromStep === 1);
    assert.equal((down?.atMs ?? 0) - (held[0]?.atMs ?? 0), 20 * MINUTE);
  });

  it("judges the candidate by the relative test alone once the baseline is proven below the floor", () => {
    const poor = { ...good, schemaFail: 0.04 };
    const world = run({ baseline: poor, candidate: poor, seed: 17, callsPerMinute: 900 }, { ...noShadow, ladder: [50, 100] }, 240);
    const verdicts = world.events.flatMap(({ signals }) => signals.filter(({ signal }) => signal === "schema_validity").map(({ verdict }) => verdict));
    assert.ok(verdicts.includes("baseline_below_floor"), story(world));
    assert.ok(
      world.events.every(({ action }) => action !== "rolled_back"),
      story(world),
    );
  });
});

describe("silence", () => {
  const running = (traffic: (world: World, atMs: number) => ReturnType<World["traffic"]>, minutes: number): World => {
    const world = new World({ seed: 8, callsPerMinute: 600 });
    world.apply(spec({ ...noShadow, dwell: { min: "10h", minLate: "10h", max: "24h" } }));
    world.minutes(5);
    const all = world.traffic.bind(world);
    world.traffic = (atMs) => traffic(Object.assign(Object.create(world) as World, { traffic: all }), atMs);
    world.minutes(minutes);
    return world;
  };

  it("of the baseline holds, and never freezes", () => {
    const world = running((found, atMs) => found.traffic(atMs).filter(({ arm }) => arm === "candidate"), 30);
    assert.equal(world.state.current?.frozen, null, story(world));
  });

  it("of the judge holds with no_data, and freezes after an hour, as no evidence of harm", () => {
    const dumb = (found: World, atMs: number) =>
      found.traffic(atMs).map((block) => (block.signal === "task_completion" ? { ...block, evaluatorVersion: "", scored: 0, values: [], counts: [] } : block));
    const world = running(dumb, 50);
    assert.equal(world.state.current?.frozen, null, story(world));
    const later = running(dumb, 70);
    assert.deepEqual([later.state.current?.frozen?.cause, later.events.at(-1)?.reasons], ["silence", ["no_data"]], story(later));
    assert.ok((later.events.at(-1)?.logA ?? 1) < 0);
  });

  it("of both arms freezes, though no pane closes any more", () => {
    const world = running(() => [], 0);
    world.atMs += 20 * MINUTE;
    world.give({ kind: "tick", atMs: world.atMs });
    assert.deepEqual([world.state.current?.frozen?.cause, world.state.current?.frozen?.about], ["silence", "calls"], story(world));
  });
});
