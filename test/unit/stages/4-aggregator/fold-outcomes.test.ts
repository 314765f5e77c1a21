import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Registry } from "prom-client";
import { encodeToken, type TokenCall } from "../../../../src/domain/outcomes/token.ts";
import { Fold } from "../../../../src/domain/signals/fold.ts";
import { expectedOutcomes } from "../../../../src/domain/signals/outcome-contributions.ts";
import { SeriesLimit } from "../../../../src/domain/signals/series-limit.ts";
import { ParkError, type Task } from "../../../../src/runtime/port.ts";
import { SealedTokens } from "../../../../src/runtime/sealed-tokens.ts";
import { foldHalf } from "../../../../src/stages/4-aggregator/fold-half.ts";
import { AggregatorMetrics } from "../../../../src/stages/4-aggregator/metrics.ts";
import { type Entry, type Frame, type Outcome, outcomes, type RoutingTable, type Topic } from "../../../../topics/index.ts";
import { callWith } from "../../domain/signals/call-fixture.ts";

const tokens = new SealedTokens(["a key of tests, 32 letters or so"]);
const startedAtMs = 1_800_000_000_000;
const declared: RoutingTable["outcomes"] = [
  { signal: "form_filled", form: "binary", maturityMs: 60_000 },
  { signal: "stars", form: "grid", maturityMs: null },
];
const call = callWith({ startedAtMs, endedAtMs: startedAtMs + 25_000, subject: "ab".repeat(16), slices: ["context=long"] });
const { requestId, route, rollout, attempt, step, epoch, arm, version, exposure, subject, slices, paneMs } = call;
const mine: TokenCall = { requestId, route, rollout, attempt, step, epoch, arm, version, exposure, subject, slices, startedAtMs, paneMs };
const outcome = (changes: Partial<Outcome> = {}): Outcome => ({
  id: "",
  token: tokens.seal(encodeToken(mine)),
  signal: "form_filled",
  value: 1,
  occurredAtMs: startedAtMs + 60_000,
  source: "crm",
  ...changes,
});

function bench(key: SealedTokens | null = tokens) {
  const registry = new Registry();
  const role = foldHalf({
    partitionFor: () => 0,
    flushEveryMs: 1_000,
    metrics: new AggregatorMetrics(registry),
    tokens: key,
    tableOf: (name) => (name === route ? { outcomes: declared } : undefined),
  });
  const make = (): Task => role.createTask({ partition: 3, wake: () => undefined, partitionsOf: () => 1, now: () => startedAtMs });
  let task = make();
  void task.start(new Map());
  let offset = 0;
  let metadata = "";
  return {
    take: (value: Outcome, appendedAtMs = startedAtMs + 70_000) =>
      task.take({ topic: outcomes.name, partition: 3, offset: offset++, key: value.token, appendedAtMs, value, headers: {} }),
    frames: (): Frame[] => {
      const batch = task.flush(0);
      metadata = batch?.offsets?.[outcomes.name]?.metadata ?? metadata;
      return (batch?.outputs ?? []).map(({ value }) => value as Frame);
    },
    crash: () => {
      task = make();
      void task.start(new Map([[outcomes.name, { offset, metadata }]]));
    },
    results: async () =>
      (await registry.getMetricsAsJSON())
        .find(({ name }) => name === "headgate_aggregator_outcomes_total")
        ?.values.map(({ labels, value }) => [labels.result, value]),
    inputs: role.inputs.map(({ name }: Topic) => name),
  };
}
const shape = ({ slice, signal, evaluatorVersion, kind, paneStartMs, sampled, scored, values }: Entry) => ({
  slice,
  signal,
  evaluatorVersion,
  kind,
  paneStartMs,
  sampled,
  scored,
  values,
});

describe("the fold half takes outcomes", () => {
  it("into the pane in which their call began, in each of its slices, with no more than the token", () => {
    const { take, frames, inputs } = bench();
    assert.deepEqual(inputs, ["scores", "outcomes"]);
    take(outcome({ value: 0 }));
    const [frame, ...others] = frames();
    assert.deepEqual(others, []);
    assert.deepEqual([frame?.source, frame?.sourcePartition, frame?.fromOffset, frame?.toOffset, frame?.watermarkMs], ["outcomes", 3, 0, 1, null]);
    const one = { signal: "form_filled", evaluatorVersion: "outcome", kind: "binary", paneStartMs: startedAtMs, sampled: 0, scored: 1, values: [1] };
    assert.deepEqual(frame?.entries.map(shape), [
      { slice: "all", ...one },
      { slice: "context=long", ...one },
    ]);
    const { arm: armOf, version: versionOf, epoch: epochOf, attempt: attemptOf } = (frame?.entries ?? [])[0] as Entry;
    assert.deepEqual([armOf, versionOf, epochOf, attemptOf], [arm, version, epoch, attempt]);
  });

  it("as losses of 0..1 where the signal is a score, and into the series that the sampler expects outcomes in", () => {
    const { take, frames } = bench();
    take(outcome({ signal: "stars", value: 0.75 }));
    take(outcome());
    const [stars, filled] = (frames()[0]?.entries ?? []).filter(({ slice }) => slice === "all");
    assert.deepEqual([stars?.kind, stars?.values], ["grid", [25]]);
    const fold = new Fold(new SeriesLimit());
    fold.add({ ...call, endedAtMs: call.startedAtMs }, expectedOutcomes(call, declared));
    const [expected, ...others] = fold.drain().filter(({ slice }) => slice === "all");
    assert.deepEqual(others, [], "only what has a maturity is expected");
    const identity = ({ records, sampled, scored, values, counts, subjectCounts, subjectSums, ...rest }: Entry) => rest;
    assert.deepEqual(identity(expected as Entry), identity(filled as Entry));
    assert.deepEqual([expected?.sampled, expected?.scored], [1, 0]);
  });

  it("once per call and signal, whoever repeats them under whichever id, also after a change of owner", async () => {
    const { take, frames, crash, results } = bench();
    take(outcome({ id: "1" }));
    take(outcome({ id: "2", value: 0 }));
    take(outcome({ signal: "stars" }));
    assert.equal(frames().flatMap(({ entries }) => entries.filter(({ slice }) => slice === "all")).length, 2);
    crash();
    take(outcome({ id: "1" }));
    assert.deepEqual(
      frames().flatMap(({ entries }) => entries),
      [],
    );
    assert.deepEqual(await results(), [
      ["counted", 2],
      ["repeat", 2],
    ]);
  });

  it("not for signals that no spec declares, nor a week after their call", async () => {
    const { take, frames, results } = bench();
    take(outcome({ signal: "task_completion" }));
    take(outcome(), startedAtMs + 7 * 86_400_000 + 1);
    assert.deepEqual(
      frames().flatMap(({ entries }) => entries),
      [],
    );
    assert.deepEqual(await results(), [
      ["undeclared", 1],
      ["expired", 1],
    ]);
  });

  it("only with a token that holds: all others are parked with the reason", () => {
    const { take, frames } = bench();
    const forged = `${outcome().token.slice(0, -6)}AAAAAA`;
    const foreign = new SealedTokens(["another secret key, 32 letters.."]).seal(encodeToken(mine));
    for (const [token, reason] of [
      [forged, /^token was cut, changed or forged/],
      [foreign, /^token was sealed under a key that is not known here/],
      ["hello", /^token is not an outcome token/],
    ] as const) {
      assert.throws(
        () => take(outcome({ token })),
        (error) => error instanceof ParkError && reason.test(error.message),
      );
    }
    assert.throws(() => bench(null).take(outcome()), /HEADGATE_TOKEN_KEY is not set on this aggregator/);
    assert.deepEqual(frames(), []);
  });

  it("of calls that nobody saw or that failed nothing is expected", () => {
    assert.equal(expectedOutcomes(call, declared).length, 1);
    assert.deepEqual(expectedOutcomes({ ...call, exposure: "shadow" }, declared), []);
    assert.deepEqual(expectedOutcomes({ ...call, status: "error" }, declared), []);
  });
});
