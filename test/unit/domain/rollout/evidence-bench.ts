import assert from "node:assert/strict";
import { assessAll } from "../../../../src/domain/rollout/evidence/assess.ts";
import { crossing } from "../../../../src/domain/rollout/evidence/crossing.ts";
import { feedPane } from "../../../../src/domain/rollout/feed-pane.ts";
import type { Block, PaneInput } from "../../../../src/domain/rollout/input.ts";
import { reduce } from "../../../../src/domain/rollout/reduce.ts";
import { type Attempt, initialState, type RouteState } from "../../../../src/domain/rollout/state.ts";
import { logBucket } from "../../../../src/domain/stats/log-bucket.ts";
import type { RolloutSpec, RoutingTable } from "../../../../topics/index.ts";
import { deps, spec, specInput, startMs } from "../../../fixtures/rollout-world.ts";

export const MINUTE = 60_000;
export const rubrics: RoutingTable["rubrics"] = [
  {
    name: "t@1",
    digest: "d",
    signals: [
      { name: "task_completion", form: "binary" },
      { name: "groundedness", form: "grid" },
    ],
  },
];

/** A rollout in its first step of 10 %, without shadow, that reads the blocks that a test gives it. */
export class Bench {
  state: RouteState;
  #minute = 0;
  constructor(over: Partial<RolloutSpec>) {
    const declared = spec({ shadow: { share: 0 }, ...over });
    this.state = reduce(initialState(declared.route), specInput(declared, startMs, { rubrics }), deps).state;
    assert.ok(this.state.current !== null, "the spec was refused");
  }
  get attempt(): Attempt {
    return this.state.current as Attempt;
  }
  /** Feeds one pane, without a look. */
  pane(blocks: readonly Partial<Block>[], over: Partial<PaneInput> = {}): void {
    const { plan, step } = this.attempt;
    const paneStartMs = startMs + MINUTE * ++this.#minute;
    const group = (block: Partial<Block>) => plan.signals.find(({ name }) => name === block.signal)?.group ?? "calls";
    for (const own of ["calls", "judge", "outcome"] as const) {
      const mine = blocks
        .filter((block) => group(block) === own)
        .map((block) => ({ ...empty, rollout: plan.rollout, step, epoch: this.state.epoch, ...block }));
      const input: PaneInput = { kind: "pane", atMs: 0, group: own, paneStartMs, paneMs: MINUTE, round: 0, watermarkMs: 0, blocks: mine, ...over };
      this.state = feedPane(this.state, this.attempt, input);
    }
    assert.equal(this.attempt.evaluationError, null);
  }
  of(name: string) {
    const found = assessAll(this.attempt).find(({ planned, edition }) => planned.name === name && edition === 0);
    assert.ok(found !== undefined);
    return found;
  }
  get crossing() {
    return crossing(assessAll(this.attempt), this.attempt.plan, false);
  }
}

export const empty: Block = {
  rollout: "",
  attempt: 1,
  step: 0,
  epoch: 1,
  version: "v",
  arm: "candidate",
  exposure: "served",
  slice: "all",
  signal: "",
  evaluatorVersion: "",
  samplePpm: 1_000_000,
  kind: "binary",
  records: 0,
  sampled: 0,
  scored: 0,
  abstained: 0,
  failed: 0,
  values: [],
  counts: [],
  subjectCounts: [],
  subjectSums: [],
  newSubjects: null,
};
export type Arm = "candidate" | "baseline";
export const counted = (values: readonly number[], counts: readonly number[]) => {
  const n = counts.reduce((sum, count) => sum + count, 0);
  return { values: [...values], counts: [...counts], records: n, sampled: n, scored: n };
};
export const binary = (signal: string, arm: Arm, n: number, bad: number, over: Partial<Block> = {}): Partial<Block> => ({
  signal,
  arm,
  ...counted([0, 1], [n - bad, bad]),
  ...over,
});
export const grid = (arm: Arm, values: readonly number[], counts: readonly number[]): Partial<Block> => ({
  signal: "groundedness",
  kind: "grid",
  evaluatorVersion: "v1",
  arm,
  ...counted(values, counts),
});
export const cost = (arm: Arm, dollars: number, n: number): Partial<Block> => ({
  signal: "cost_per_request",
  kind: "log",
  arm,
  ...counted([logBucket(dollars * 1e6)], [n]),
});
