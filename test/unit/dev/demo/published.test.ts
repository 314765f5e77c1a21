import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { asGood, isPrime, june, march, publishedCalls } from "../../../../src/dev/demo/published.ts";
import { computedTruth, recordedTruth } from "../../../../src/dev/demo/truth.ts";

const share = (flags: readonly boolean[]) => flags.filter(Boolean).length / flags.length;

describe("built-in traffic", () => {
  const calls = publishedCalls(3, { a: march, b: june }, 4000, 1);
  const of = (version: string) => calls.filter((call) => call.model_version === version);
  const primes = (version: string, wantPrime: boolean) => of(version).filter((call) => isPrime(Number(/\d+/.exec(call.prompt ?? "")?.[0])) === wantPrime);

  it("shows the published behaviour per class within 3 points (fails by chance less than once in a million runs; the seed is fixed)", () => {
    const right = (version: string, wantPrime: boolean) => share(primes(version, wantPrime).map((call) => call.task_pass === true));
    for (const [version, onPrimes, onComposites] of [
      ["a", 0.976, 0.704],
      ["b", 0.024, 0.998],
    ] as const) {
      assert.ok(Math.abs(right(version, true) - onPrimes) < 0.03);
      assert.ok(Math.abs(right(version, false) - onComposites) < 0.03);
    }
    const tokens = of("a").map((call) => call.output_tokens ?? 0);
    assert.ok(Math.abs(tokens.reduce((sum, n) => sum + n, 0) / tokens.length - 215) < 10);
  });

  it("is the same for the same seed and different for another", () => {
    assert.deepEqual(publishedCalls(7, { a: asGood }, 50, 0.4), publishedCalls(7, { a: asGood }, 50, 0.4));
    assert.notDeepEqual(publishedCalls(7, { a: asGood }, 50, 0.4), publishedCalls(8, { a: asGood }, 50, 0.4));
  });

  it("has a truth that the judge computes from prompt and answer alone and that agrees with the label of every call", () => {
    const mixed = publishedCalls(11, { a: march, b: june }, 1000, 0.4);
    for (const call of mixed) {
      assert.deepEqual(computedTruth(call.prompt ?? "", call.output ?? ""), { task_completion: call.task_pass }, `${call.prompt} ${call.output?.slice(0, 80)}`);
    }
  });

  it("has no truth for a prompt that it did not make", () => {
    assert.equal(computedTruth("Tell me a joke", "no"), undefined);
  });
});

describe("truth of recorded calls", () => {
  it("is found by prompt and output, and by the output alone when it was drawn for another prompt", () => {
    const find = recordedTruth([{ prompt_id: "1", model_version: "v", prompt: "p", output: "o", grounded: false }]);
    assert.deepEqual(find("p", "o"), { groundedness: false });
    assert.deepEqual(find("another prompt", "o"), { groundedness: false });
    assert.equal(find("p", "never recorded"), undefined);
  });
});
