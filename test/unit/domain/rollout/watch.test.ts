import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GOLDEN_SLICE, PROBER } from "../../../../src/domain/drift/golden.ts";
import { forNewAttempt } from "../../../../src/domain/drift/watch-state.ts";
import type { Block, PaneInput } from "../../../../src/domain/rollout/input.ts";
import { reduce } from "../../../../src/domain/rollout/reduce.ts";
import { initialState } from "../../../../src/domain/rollout/state.ts";
import { forWatch } from "../../../../src/domain/rollout/watch.ts";
import { watchSaid } from "../../../../src/domain/rollout/watch-said.ts";
import type { RolloutSpec } from "../../../../topics/index.ts";
import { deps, dice, route, spec, specInput, story, World } from "../../../fixtures/rollout-world.ts";

const MINUTE = 60_000;
const watched = (over: Partial<RolloutSpec> = {}): RolloutSpec =>
  spec({
    signals: ["schema_validity", "task_completion", "latency_p95", "error_rate"],
    drift: { reference: "30m", budget: "600/min" },
    advanced: { percentileMinRecords: 300, driftMinRecords: 300 },
    ...over,
  });

/** A route whose rollout was rolled back or promoted to done, with calls of whoever serves. */
class Idle {
  readonly world: World;
  readonly #random = dice(7);
  taskFail = 0.1;
  errors = 0.005;
  /** Judged calls of a minute; absent: all. */
  judged: number | undefined;
  probes = 0;

  constructor(declared: RolloutSpec, how: "done" | "rolled_back") {
    this.world = new World();
    this.world.apply(declared);
    if (how === "rolled_back") this.world.command("rollback");
    for (let i = 0; how === "done" && i < 5 && this.world.state.current?.phase !== "done"; i++) this.world.command("promote", { id: `p${i}` });
    assert.equal(this.world.state.current?.phase, how, story(this.world));
  }

  get serving(): string {
    return this.world.state.serving?.name ?? "";
  }

  get newest() {
    return this.world.events.at(-1);
  }

  #block(signal: string, kind: Block["kind"], bad: number, n: number, over: Partial<Block> = {}): Block {
    const values = kind === "log" ? [360, 380] : [0, 1];
    const { table } = this.world;
    return {
      rollout: "",
      attempt: 0,
      step: -1,
      epoch: table?.epoch ?? 0,
      version: this.serving,
      arm: "none",
      exposure: "served",
      slice: "all",
      samplePpm: 1_000_000,
      signal,
      kind,
      evaluatorVersion: signal === "task_completion" ? "v1" : "",
      records: n,
      sampled: n,
      abstained: 0,
      failed: 0,
      scored: n,
      values,
      counts: [n - bad, bad],
      newSubjects: null,
      subjectCounts: [],
      subjectSums: [],
      ...over,
    };
  }

  minutes(n: number, calls = 60): void {
    const { world } = this;
    const bad = (rate: number) => Array.from({ length: calls }, () => (this.#random() < rate ? 1 : 0)).reduce((a: number, b) => a + b, 0);
    for (let i = 0; i < n; i++) {
      const paneStartMs = world.atMs;
      world.atMs += MINUTE;
      const pane = (group: "calls" | "judge", blocks: Block[]): PaneInput => {
        return { kind: "pane", atMs: world.atMs, group, paneStartMs, paneMs: MINUTE, round: 0, watermarkMs: world.atMs, blocks };
      };
      const own = [
        this.#block("schema_validity", "binary", bad(0.001), calls),
        this.#block("error_rate", "binary", bad(this.errors), calls),
        this.#block("latency_p95", "log", bad(0.05), calls),
        this.#block("cut_output", "binary", 0, calls),
      ];
      world.give(pane("calls", own));
      const judged = this.judged ?? calls;
      world.give(pane("judge", [this.#block("task_completion", "binary", Math.round((bad(this.taskFail) * judged) / calls), judged)]));
    }
  }

  probe(passed: number, failed: number, over: { actor?: string; version?: string } = {}): void {
    const { world } = this;
    world.atMs += 1;
    const probe = { version: over.version ?? this.serving, passed, failed };
    const command = { id: `g${this.probes++}`, route, verb: "probed", reason: "", expectedAttempt: null, expectedEpoch: null } as const;
    world.give({ kind: "command", atMs: world.atMs, command: { ...command, actor: over.actor ?? PROBER, atMs: world.atMs, probe } });
  }

  command(verb: "capture" | "clear"): void {
    const { world } = this;
    const id = `w${world.inputs.length}`;
    world.give({
      kind: "command",
      atMs: world.atMs,
      command: { id, route, verb, reason: "", expectedAttempt: null, expectedEpoch: null, actor: "ann", atMs: world.atMs },
    });
  }
}

function taken(how: "done" | "rolled_back", over: Partial<RolloutSpec> = {}): Idle {
  const idle = new Idle(watched(over), how);
  idle.probe(20, 0);
  idle.minutes(31);
  assert.deepEqual(idle.newest?.reasons, ["reference_taken"], story(idle.world));
  return idle;
}

describe("the drift watch", () => {
  it("lets the table of a route without a rollout carry a rate within the judge's budget, rubrics and panes", () => {
    const idle = new Idle(watched(), "done");
    assert.equal(idle.world.table?.rollout, "");
    assert.equal(idle.world.table?.samplePpm.baseline, 100_000);
    assert.equal(idle.world.table?.rubrics.length, 1);
    idle.minutes(20, 60);
    assert.equal(idle.world.table?.samplePpm.baseline, 1_000_000, "follows the traffic");
    const off = new Idle(watched({ drift: "off" }), "done");
    assert.equal(off.world.table?.samplePpm.baseline, 0);
    const { state } = off.world;
    off.minutes(2);
    assert.equal(off.world.state, state);
  });

  it("takes a reference, then pages for a change of 10 points, and only once", () => {
    const idle = taken("rolled_back");
    idle.minutes(120);
    assert.deepEqual(idle.newest?.reasons, ["reference_taken"]);
    idle.taskFail = 0.2;
    idle.minutes(120);
    const told = idle.world.events.filter(({ action }) => action === "drifted");
    assert.equal(told.length, 1, story(idle.world));
    assert.deepEqual(told[0]?.reasons, ["drifted"]);
    assert.equal(told[0]?.signals.find(({ verdict }) => verdict === "breach")?.signal, "task_completion");
    assert.equal(idle.world.state.current?.phase, "rolled_back");
    assert.equal(idle.serving, "old@1");
  });

  it("takes the reference until its scarcest signal has enough records, but not for more than three times as long", () => {
    const enough = new Idle(watched(), "rolled_back");
    enough.judged = 7;
    enough.minutes(40);
    assert.notDeepEqual(enough.newest?.reasons, ["reference_taken"], "280 judged of 300");
    enough.minutes(5);
    assert.deepEqual(enough.newest?.reasons, ["reference_taken"], story(enough.world));
    assert.doesNotMatch(enough.newest?.message ?? "", /too few/);
    const scarce = new Idle(watched(), "rolled_back");
    scarce.judged = 1;
    scarce.minutes(88);
    assert.notDeepEqual(scarce.newest?.reasons, ["reference_taken"]);
    scarce.minutes(3);
    assert.match(scarce.newest?.message ?? "", /too few records to act on: .*task_completion/);
  });

  it("refuses new rollouts and retries until the alarm is cleared or the baseline captured anew", () => {
    const idle = taken("rolled_back");
    idle.errors = 0.5;
    idle.minutes(15);
    const next = watched({ candidate: "next@1", versions: { "next@1": { upstream: "a", model: "next" } } });
    idle.world.give(specInput(next, idle.world.atMs));
    assert.deepEqual(idle.newest?.reasons, ["spec_refused"]);
    assert.match(idle.newest?.message ?? "", /has drifted.*headgate baseline capture/);
    idle.world.command("retry");
    assert.deepEqual(idle.newest?.reasons, ["command_refused"]);
    idle.command("capture");
    idle.minutes(31);
    assert.deepEqual(idle.newest?.reasons, ["reference_taken"]);
    idle.minutes(60);
    assert.deepEqual(idle.newest?.reasons, ["reference_taken"], "what is normal now is no drift");
    idle.world.give(specInput({ ...next, id: "again" }, idle.world.atMs));
    assert.equal(idle.newest?.action, "started", story(idle.world));
  });

  it("reroutes to the fallback when golden prompts fail too, once; undo goes back, and then nothing flaps", () => {
    const idle = taken("done", { golden: { prompts: [{ prompt: "1 + 1?", expect: { exact: "2" } }] } });
    idle.errors = 0.5;
    idle.probe(2, 18);
    idle.probe(2, 18);
    assert.deepEqual(idle.newest?.reasons, ["reference_taken"], "golden prompts alone do nothing");
    idle.minutes(15);
    assert.deepEqual([idle.newest?.action, idle.newest?.reasons], ["drifted", ["drifted", "rerouted"]], story(idle.world));
    assert.equal(idle.serving, "old@1");
    assert.equal(idle.world.table?.baseline, "old@1");
    assert.deepEqual(
      idle.world.table?.versions.map(({ name }) => name),
      ["old@1", "new@1"],
    );
    assert.equal(idle.newest?.epoch, idle.world.table?.epoch);
    const names = idle.newest?.signals.map(({ signal }) => signal) ?? [];
    assert.deepEqual([names.includes("share_beyond_latency_p95"), names.includes("latency_p95")], [true, false], "a share of calls is not shown as a latency");
    idle.world.command("undo");
    assert.equal(idle.serving, "new@1");
    const before = idle.world.events.length;
    idle.minutes(30);
    idle.probe(2, 18);
    idle.minutes(30);
    assert.equal(idle.world.events.length, before, story(idle.world));
  });

  it("takes a reference of golden prompts after the version's own was taken too, since nobody probes while a rollout runs", () => {
    const idle = new Idle(watched(), "done");
    idle.minutes(31);
    assert.deepEqual(idle.newest?.reasons, ["reference_taken"], story(idle.world));
    for (let i = 0; i < 10; i++) idle.probe(20, 0);
    assert.notEqual(idle.world.state.watch.golden?.bound, null);
    idle.errors = 0.5;
    idle.probe(2, 18);
    idle.probe(2, 18);
    idle.minutes(15);
    assert.deepEqual(idle.newest?.reasons, ["drifted", "rerouted"], story(idle.world));
  });

  it("says to others where it stands: a reference being taken, watched, drifted; and how the golden prompts are", () => {
    const idle = new Idle(watched(), "done");
    const said = () => watchSaid(idle.world.state) ?? assert.fail("nothing is watched");
    idle.minutes(5);
    assert.deepEqual([said().version, said().standing, said().golden], ["new@1", "taking", "none"]);
    assert.match(said().message, /the reference of new@1 is being taken, for 0\.5 h of calls without a rollout$/);
    idle.probe(20, 0);
    assert.equal(said().golden, "taking");
    idle.minutes(26);
    assert.deepEqual([said().standing, said().golden], ["watched", "passing"]);
    assert.match(said().message, /^new@1 is watched against its reference, \d of \d signals; golden prompts: passing$/);
    assert.ok(said().sinceMs > 0 && said().sinceMs <= idle.world.atMs);
    idle.errors = 0.5;
    idle.probe(2, 18);
    idle.probe(2, 18);
    assert.equal(said().golden, "failing");
    idle.minutes(15);
    assert.deepEqual([said().version, said().standing], ["old@1", "drifted"]);
    assert.equal(watchSaid({ ...idle.world.state, serving: null }), null);
  });

  it("takes nothing of an observed attempt into the next: neither its alarm and detectors nor what was learnt of its candidate", () => {
    const idle = taken("done");
    const { watch } = idle.world.state;
    const run = watch.run ?? { version: "new@1", reference: "new@1", takenAtMs: 1, attempt: 0, detectors: {} };
    const alarm = { version: "x@1", atMs: 1, attempt: 1, message: "", reroutedTo: null, isStranded: false };
    const tested = { ...(watch.profiles[0] ?? assert.fail()), version: "x@1" };
    const later = forNewAttempt({ ...watch, profiles: [...watch.profiles, tested], run: { ...run, attempt: 1 }, alarm }, ["new@1", "old@1"]);
    assert.deepEqual([later.run, later.alarm, later.profiles], [null, null, watch.profiles]);
    const own = forNewAttempt({ ...watch, run, alarm: { ...alarm, attempt: 0 } }, ["new@1", "old@1"]);
    assert.deepEqual([own.run, own.alarm?.version], [run, "x@1"], "what the route itself shows stays");
  });

  it("only pages when golden prompts pass, and reroutes when they fail afterwards", () => {
    const idle = taken("done");
    idle.errors = 0.5;
    idle.probe(20, 0);
    idle.minutes(15);
    assert.deepEqual(idle.newest?.reasons, ["drifted"]);
    assert.match(idle.newest?.message ?? "", /golden prompts are passing/);
    idle.probe(0, 20, { actor: "mallory" });
    assert.deepEqual(idle.newest?.reasons, ["command_refused"]);
    idle.probe(0, 20, { version: "other@1" });
    idle.probe(0, 20);
    assert.equal(idle.serving, "old@1", story(idle.world));
  });

  it("says that there is no fallback, once", () => {
    const idle = taken("rolled_back");
    idle.errors = 0.5;
    idle.probe(0, 20);
    idle.minutes(30);
    assert.deepEqual(idle.newest?.reasons, ["drifted", "no_fallback"], story(idle.world));
    assert.equal(idle.world.events.filter(({ action }) => action === "drifted").length, 1);
  });

  it("decides the same when its inputs are replayed, and keeps its state small", () => {
    const idle = taken("done");
    idle.minutes(150, 30);
    idle.errors = 0.5;
    idle.probe(0, 20);
    idle.minutes(15, 30);
    let state = initialState(route);
    const events: string[] = [];
    for (const input of JSON.parse(JSON.stringify(idle.world.inputs))) {
      const step = reduce(state, input, deps);
      for (const decision of step.decisions) if (decision.kind === "gate-event") events.push(decision.event.hash);
      state = step.state;
    }
    assert.deepEqual(
      events,
      idle.world.events.map(({ hash }) => hash),
    );
    assert.ok(JSON.stringify(idle.world.state).length < 64_000, `${JSON.stringify(idle.world.state).length}`);
    assert.ok(JSON.stringify(idle.world.state.watch).length < 16_000, `${JSON.stringify(idle.world.state.watch).length}`);
  });

  it("keeps of a pane only what it needs", () => {
    const idle = taken("done");
    idle.minutes(1);
    const pane = idle.world.inputs.findLast(({ kind }) => kind === "pane") as PaneInput;
    assert.equal(forWatch(idle.world.state, { ...pane, round: 1 }), null);
    assert.equal(forWatch(idle.world.state, { ...pane, blocks: [] }), null);
    assert.ok(GOLDEN_SLICE.includes("golden"));
  });
});
