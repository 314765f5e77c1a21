import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { breaches, describeRule, parseRule, type Rule } from "../../../../src/domain/audit/rule.ts";

function rule(text: string): Rule {
  const parsed = parseRule(text);
  if (parsed.kind === "problem") assert.fail(`${text}: column ${parsed.problem.column}: ${parsed.problem.message}`);
  return parsed.rule;
}

function problem(text: string): { column: number; message: string } {
  const parsed = parseRule(text);
  if (parsed.kind === "rule") assert.fail(`${text} was read as ${JSON.stringify(parsed.rule)}`);
  return parsed.problem;
}

describe("reading a rule", () => {
  it("reads limits relative to the baseline and fixed ones", () => {
    const limits: readonly [text: string, limit: Rule["limit"]][] = [
      ["latency_p95 > 1.10x", { kind: "ratio", factor: 1.1 }],
      ["latency_p95 > +10%", { kind: "ratio", factor: 1.1 }],
      ["task_completion < -5%", { kind: "ratio", factor: 0.95 }],
      ["error_rate > +2pp", { kind: "points", points: 0.02 }],
      ["error_rate > 2pp", { kind: "points", points: 0.02 }],
      ["schema_validity < -1pp", { kind: "points", points: -0.01 }],
      ["latency_p99 >= 2000ms", { kind: "absolute", value: 2000 }],
      ["ttft_p50 > 1.5s", { kind: "absolute", value: 1500 }],
      ["schema_validity < 0.99", { kind: "absolute", value: 0.99 }],
      ["error_rate > 2%", { kind: "absolute", value: 0.02 }],
      ["cost_per_request > $0.03", { kind: "absolute", value: 0.03 }],
      ["cost_per_request > 0.03usd", { kind: "absolute", value: 0.03 }],
      ["output_tokens > 250", { kind: "absolute", value: 250 }],
    ];
    for (const [text, limit] of limits) {
      const read = rule(text).limit;
      const value = Object.values(limit)[1] as number;
      assert.equal(read.kind, limit.kind, text);
      assert.ok(Math.abs((Object.values(read)[1] as number) - value) < 1e-12, text);
    }
  });

  it("reads window, interval and repetition in any order, and none of them", () => {
    const { windowMinutes, everyMinutes, times } = rule("latency_p95 > 1.10x for 15m");
    assert.deepEqual([windowMinutes, everyMinutes, times], [15, 1, 1]);
    const all = rule("latency_p95>1.10x 3 times every 5m for 1h");
    assert.deepEqual([all.windowMinutes, all.everyMinutes, all.times], [60, 5, 3]);
    assert.equal(rule("error_rate > 0.02").windowMinutes, 5);
    assert.equal(rule("latency_p99.9 > 2x").measure.kind, "percentile");
  });

  it("says what is wrong and in which column", () => {
    const wrong: readonly [text: string, column: number, part: RegExp][] = [
      ["", 1, /begins with a signal/],
      ["p95 > 2s", 1, /p95 is no signal; signals are error_rate/],
      ["latency_p95", 12, /the rule ends where an operator/],
      ["latency_p95 = 2s", 13, /= where an operator/],
      ["latency_p95 >", 14, /the rule ends where a value/],
      ["latency_p95 > fast", 15, /fast where a value/],
      ["latency_p95 > 2000", 15, /needs a unit: 2000ms/],
      ["latency_p95 > 10%", 15, /write \+10%/],
      ["latency_p95 > +2pp", 15, /no rate/],
      ["latency_p95 > +1.1x", 15, /sign and an x/],
      ["latency_p95 > 0x", 15, /factor above 0x/],
      ["latency_p95 > -100%", 15, /factor above 0x/],
      ["error_rate < 0.5x", 12, /for being better/],
      ["task_completion > 0.9", 17, /good calls; write </],
      ["task_completion < 5pp", 19, /write -5pp/],
      ["error_rate > 20", 14, /write 0.02 or 2%/],
      ["error_rate > 2s", 14, /is a rate/],
      ["error_rate > +100pp", 14, /100 points/],
      ["cost_per_request > 3s", 20, /dollars/],
      ["output_tokens > $5", 17, /tokens: 250/],
      ["error_rate > 2% during 15m", 17, /during is not understood/],
      ["error_rate > 2% for", 20, /the rule ends where a duration/],
      ["error_rate > 2% for 90s", 21, /whole minutes/],
      ["error_rate > 2% for 5m for 6m", 24, /for is given twice/],
      ["error_rate > 2% 3", 18, /"times" is expected/],
      ["error_rate > 2% 0 times", 17, /1 to 1000/],
      ["error_rate > 2% 2 times 3 times", 25, /times is given twice/],
    ];
    for (const [text, column, part] of wrong) {
      const found = problem(text);
      assert.equal(found.column, column, `${text}: ${found.message}`);
      assert.match(found.message, part, text);
    }
  });

  it("reads back what it was written from, for any spacing, and never throws on any text", () => {
    const number = fc.integer({ min: 1, max: 9999 }).map((n) => n / 100);
    const parts = fc.record({
      percent: fc.integer({ min: 1, max: 99 }),
      operator: fc.constantFrom(">", ">=", "<", "<="),
      factor: number,
      minutes: fc.integer({ min: 1, max: 1440 }),
      every: fc.integer({ min: 1, max: 60 }),
      times: fc.integer({ min: 1, max: 50 }),
      gap: fc.constantFrom(" ", "  ", "\t"),
    });
    fc.assert(
      fc.property(parts, ({ percent, operator, factor, minutes, every, times, gap }) => {
        const read = rule(`latency_p${percent}${gap}${operator}${gap}${factor}x for ${minutes}m every${gap}${every}m ${times} times`);
        assert.deepEqual(
          { ...read, text: "" },
          {
            text: "",
            measure: { kind: "percentile", name: `latency_p${percent}`, field: "latency", level: percent / 100, unit: "ms" },
            operator,
            limit: { kind: "ratio", factor },
            windowMinutes: minutes,
            everyMinutes: every,
            times,
          },
        );
      }),
    );
    fc.assert(fc.property(fc.string({ unit: "grapheme" }), (text) => ["rule", "problem"].includes(parseRule(text).kind)));
  });

  it("compares a candidate with its limit, and with nothing where a value is missing", () => {
    assert.equal(breaches(rule("latency_p95 > 1.10x"), 111, 100), true);
    assert.equal(breaches(rule("latency_p95 > 1.10x"), 110, 100), false);
    assert.equal(breaches(rule("schema_validity < -1pp"), 0.97, 0.985), true);
    assert.equal(breaches(rule("error_rate >= 2%"), 0.02, Number.NaN), true);
    assert.equal(breaches(rule("error_rate > 2x"), 0.02, Number.NaN), null);
    assert.equal(breaches(rule("latency_p95 > 2s"), Number.NaN, 1), null);
  });

  it("says how it was read", () => {
    assert.equal(
      describeRule(rule("error_rate > +1pp for 5m every 5m 3 times"), 50),
      "error_rate of the candidate's last 5 min above the baseline's + 1 points, 3 looks in a row; looked at every 5 min from 50 candidate calls on",
    );
    assert.match(describeRule(rule("latency_p95 > 2s"), 50), /above 2000 ms; looked at every minute/);
  });
});
