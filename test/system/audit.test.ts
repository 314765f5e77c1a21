import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Dice } from "../../src/domain/audit/dice.ts";
import { HeadgateWatch } from "../../src/domain/audit/headgate.ts";
import { emptyPane, type Pane } from "../../src/domain/audit/panes.ts";
import { guardedSignals } from "../../src/domain/audit/signals.ts";
import type { Columns } from "../../src/domain/audit/traffic.ts";
import type { Block } from "../../src/domain/rollout/input.ts";
import { OVERFLOW_BUCKET } from "../../src/domain/stats/log-bucket.ts";
import { good, spec, World, type WorldOptions } from "../fixtures/rollout-world.ts";

const folder = mkdtempSync(join(tmpdir(), "headgate-audit-"));
after(() => rmSync(folder, { recursive: true }));

/** A day and a half of calls with a daily rhythm, as LiteLLM's table exports them; seeded. */
function litellmExport(): string {
  const dice = new Dice(5);
  const fromMs = Date.UTC(2026, 10, 2);
  const rows: string[] = [];
  for (let minute = 0; minute < 36 * 60; minute++) {
    const calls = dice.poisson(4 + 3 * Math.sin((2 * Math.PI * minute) / 1_440));
    for (let i = 0; i < calls; i++) {
      const startMs = fromMs + minute * 60_000 + dice.below(60_000);
      const isFailed = dice.uniform() < 0.01;
      const latencyMs = 300 + dice.below(900) + dice.below(900) + (dice.uniform() < 0.1 ? dice.below(4_000) : 0);
      rows.push(
        JSON.stringify({
          request_id: `r${rows.length}`,
          call_type: "acompletion",
          spend: isFailed ? 0 : 0.001 + dice.below(1_000) / 1e6,
          prompt_tokens: 500,
          completion_tokens: isFailed ? 0 : 50 + dice.below(200),
          startTime: new Date(startMs).toISOString(),
          endTime: new Date(startMs + latencyMs).toISOString(),
          model_group: "support-answer",
          end_user: `u${dice.below(400)}`,
          status: isFailed ? "failure" : "success",
        }),
      );
    }
  }
  return `${rows.join("\n")}\n`;
}

describe("headgate audit", () => {
  it("tells on an export with a fixed seed what the rule and headgate do, without Kafka, configuration or environment", () => {
    const [calls, json, svg] = ["calls.jsonl", "audit.json", "audit.svg"].map((name) => join(folder, name)) as [string, string, string];
    writeFileSync(calls, litellmExport());
    const run = (...more: readonly string[]) =>
      spawnSync(
        process.execPath,
        ["src/cli/main.ts", "audit", "--calls", calls, "--rule", "latency_p95 > 1.10x for 15m", "--rps", "1", "--hours", "6", ...more],
        {
          encoding: "utf8",
          env: {},
        },
      );
    const first = run("--rollouts", "100", "--seed", "3", "--json", json, "--svg", svg);
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stderr, /LiteLLM logs, [\d,]+ calls/);
    assert.match(first.stderr, /by the hour of the recorded days/);
    const found = JSON.parse(readFileSync(json, "utf8"));
    const by = (name: string) => found.contenders.find((contender: { name: string }) => contender.name === name);
    assert.ok(by("latency_p95 > 1.10x for 15m").identical.value > 0.5, "ten percent over 15 minutes is noise at this volume");
    // At most alpha of 100: more than 12 has a chance below 0.2 % were it exactly 5 %.
    assert.ok(by("headgate freezes").identical.count <= 12);
    assert.ok(by("headgate rolls back").identical.count <= by("headgate freezes").identical.count);
    assert.deepEqual(
      found.effects.map(({ name }: { name: string }) => name),
      ["latency", "error"],
    );
    assert.ok(found.usersPerCall > 0.01 && found.usersPerCall < 0.1);
    assert.match(first.stdout, /Your rule `latency_p95 > 1\.10x for 15m` would have stopped/);
    assert.match(readFileSync(svg, "utf8"), /^<svg /);
    const again = run("--rollouts", "100", "--seed", "3", "--json", "-");
    assert.deepEqual(JSON.parse(again.stdout).contenders, found.contenders, "the same seed gives the same figures");
  });

  it("gives the same figures on threads as on none", () => {
    const calls = join(folder, "threads.jsonl");
    writeFileSync(calls, Array.from({ length: 400 }, (_, i) => JSON.stringify({ latency_ms: 200 + ((i * 37) % 100), error: i % 50 === 0 })).join("\n"));
    const figures = (rollouts: string) => {
      const ran = spawnSync(process.execPath, ["src/cli/main.ts", "audit", "--calls", calls, "--hours", "1", "--rollouts", rollouts, "--json", "-"], {
        encoding: "utf8",
        env: {},
      });
      return JSON.parse(ran.stdout).contenders as { identical: { count: number } }[];
    };
    // 80 run in the process itself, 400 on threads: streams are numbered alike, so that the counts can only grow.
    const [few, many] = [figures("80"), figures("400")];
    few.forEach(({ identical }, i) => {
      const more = many[i]?.identical.count ?? -1;
      assert.ok(more >= identical.count && more <= identical.count + 320, `${more} ${identical.count}`);
    });
  });

  it("freezes, sustains and thaws in the same minutes as the reducer, on the same minutes of traffic", () => {
    const cases: readonly { options: WorldOptions; minutes: number }[] = [
      { options: { candidate: { ...good, schemaFail: 0.02 }, seed: 1 }, minutes: 240 },
      { options: { candidate: { ...good, taskFail: 0.25 }, seed: 2 }, minutes: 240 },
      { options: { candidate: { ...good, medianMs: 1_300 }, seed: 3 }, minutes: 120 },
      { options: { candidateAt: (atMs) => ({ ...good, errors: Math.floor(atMs / 60_000) % 1_000 === 12 ? 1 : 0.005 }), seed: 4 }, minutes: 60 },
    ];
    const seen = cases.map(({ options, minutes }) => besideReducer(options, minutes));
    for (const { reducer, audit } of seen) assert.deepEqual(audit, reducer);
    assert.deepEqual(
      seen.map(({ reducer }) => reducer.frozen !== null),
      [true, true, true, true],
    );
    assert.deepEqual([seen[0]?.reducer.rolledBack !== null, seen[3]?.reducer.thaws], [true, 1]);
  });
});

interface Happened {
  readonly frozen: number | null;
  /** Sustained, for signals whose action is to roll back. */
  readonly rolledBack: number | null;
  readonly thaws: number;
}

const FIRST_BUCKET = 200;
const CLASSES = 400;
const columns: Columns = {
  rows: 0,
  rates: (["error", "schema", "task"] as const).map((field) => ({ field, losses: new Int8Array() })),
  quantities: [{ field: "latency", firstBucket: FIRST_BUCKET, classes: CLASSES, values: new Float64Array(), classOf: new Int16Array() }],
};

/** The world's traffic, remembered. */
class Recorded extends World {
  blocks: readonly Block[] = [];
  override traffic(atMs: number): Block[] {
    const blocks = super.traffic(atMs);
    this.blocks = blocks;
    return blocks;
  }
}

function paneOf(blocks: readonly Block[], arm: "candidate" | "baseline"): Pane {
  const pane = emptyPane(columns);
  const of = (signal: string) => blocks.find((block) => block.arm === arm && block.signal === signal);
  (["error_rate", "schema_validity", "task_completion"] as const).forEach((signal, i) => {
    const block = of(signal);
    block?.values.forEach((value, k) => {
      pane.known[i] = (pane.known[i] ?? 0) + (block.counts[k] ?? 0);
      pane.bad[i] = (pane.bad[i] ?? 0) + value * (block.counts[k] ?? 0);
    });
  });
  const latency = of("latency_p95");
  latency?.values.forEach((bucket, k) => {
    const found = bucket === OVERFLOW_BUCKET ? CLASSES - 1 : bucket - FIRST_BUCKET + 1;
    const classes = pane.classes[0] ?? assert.fail();
    classes[found] = (classes[found] ?? 0) + (latency.counts[k] ?? 0);
    pane.counted[0] = (pane.counted[0] ?? 0) + (latency.counts[k] ?? 0);
  });
  return pane;
}

/** Seven steps, of which the first is never left: as many restarts as the default spec has with shadow. */
function besideReducer(options: WorldOptions, minutes: number): { reducer: Happened; audit: Happened } {
  const world = new Recorded(options);
  const signals = guardedSignals((field) => field !== "cost" && field !== "ttft" && field !== "grounded");
  const watch = new HeadgateWatch(signals, columns);
  world.apply(
    spec({
      signals: ["error_rate", "schema_validity", "task_completion", "latency_p95"],
      shadow: { share: 0 },
      ladder: [10, 20, 30, 40, 50, 60, 100],
      dwell: { min: "12h", minLate: "12h", max: "24h" },
      advanced: {},
    }),
  );
  const reducer = { frozen: null as number | null, rolledBack: null as number | null, thaws: 0 };
  for (let minute = 1; minute <= minutes && reducer.rolledBack === null; minute++) {
    const known = world.events.length;
    world.minutes(1);
    watch.look(minute, paneOf(world.blocks, "candidate"), paneOf(world.blocks, "baseline"));
    for (const { action } of world.events.slice(known)) {
      if (action === "frozen") reducer.frozen ??= minute;
      if (action === "rolled_back") reducer.rolledBack = minute;
      if (action === "thawed") reducer.thaws++;
    }
  }
  const isRolledBack = reducer.rolledBack !== null;
  return { reducer, audit: { frozen: watch.frozenAt, rolledBack: isRolledBack ? watch.sustainedAt : null, thaws: watch.thaws } };
}
