import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkCompilers, type SlowForm } from "../../../src/checks/check-compilers.ts";
import { defaultSchemaCheck, schemaForms } from "../../../src/domain/checks/schema-check.ts";

const evil = "^(a+)+$";
const endless = `${"a".repeat(40)}!`;
/** Fits the pattern at once, which is not known before. */
const fitting = "a".repeat(40);
const minute = 60_000;
/** Sane, and run against the clock because it holds a reference. */
const sane = JSON.stringify({ type: "object", $defs: { n: { type: "string" } }, properties: { a: { $ref: "#/$defs/n" } } });

/** Compilers whose clock can be put forward, and the forms that they told of. */
function compilers() {
  const told: SlowForm[] = [];
  let skippedMs = 0;
  const compile = checkCompilers(
    (form) => told.push(form),
    () => performance.now() + skippedMs,
  );
  let made = 0;
  /** A caller sends a slow pattern, each a new one, until no time is left for it. */
  const useUp = () => {
    for (let i = 0; i < 60; i++) compile.pattern(`${evil}|${made++}`)(endless);
  };
  /** On a machine that stands still for 50 ms any check runs out of time: it is asked again when that is forgotten and the budgets are full. */
  const eventually = (ask: () => boolean | null): boolean | null => {
    let found = ask();
    for (let tried = 1; tried < 20 && found === null; tried++) {
      skippedMs += 5 * minute + 1;
      found = ask();
    }
    return found;
  };
  return { compile, told, useUp, eventually, skip: (ms: number) => (skippedMs += ms) };
}

describe("the compilers of checks", () => {
  it("give up a form that ran out of time five times in a row, tell of it once, and try it again after five minutes", () => {
    const { compile, told, eventually, skip } = compilers();
    const pattern = compile.pattern(evil);
    for (let i = 0; i < 5; i++) assert.equal(pattern(endless), null);
    skip(4 * minute);
    assert.equal(pattern(fitting), null);
    assert.equal(pattern("aaa"), true, "what is known to be short is run");
    skip(minute + 1);
    assert.equal(pattern(endless), null);
    assert.equal(pattern(fitting), null, "one more try in vain and it is given up again");
    const later = () => {
      skip(5 * minute + 1);
      return pattern(fitting);
    };
    assert.equal(eventually(later), true);
    assert.deepEqual(
      told.map(({ form, chars }) => [form, chars]),
      [["pattern", evil.length]],
    );
  });

  it("do not hold against a form that others had used up the time for it", () => {
    const { compile, told, useUp, eventually, skip } = compilers();
    useUp();
    const slow = told.length;
    assert.ok(slow >= 5 && slow < 60, `${slow} were run`);
    let schema = compile.jsonSchema(sane);
    let refused = 0;
    // Where the machine stood still, some time has come back: then the form was run, and it begins anew with one that was not.
    for (let i = 0; i < 60 && refused < 10; i++) {
      useUp();
      const result = schema({ a: "x" });
      refused = result === null ? refused + 1 : 0;
      if (result !== null) schema = compile.jsonSchema(sane);
    }
    assert.equal(refused, 10);
    skip(20_000);
    assert.equal(
      eventually(() => schema({ a: "x" })),
      true,
    );
  });

  it("go on with forms that have ended in time when others use up theirs", () => {
    const { compile, useUp, eventually, skip } = compilers();
    const schema = compile.jsonSchema(sane);
    const underAttack = (value: unknown) => () => {
      skip(5 * minute + 1);
      schema(value);
      useUp();
      return schema(value);
    };
    assert.deepEqual([eventually(underAttack({ a: "x" })), eventually(underAttack({ a: 1 }))], [true, false]);
  });

  it("take a form that ran out of time for one of the others, until it has not for five minutes", () => {
    const { compile, useUp, eventually, skip } = compilers();
    const pattern = compile.pattern(evil);
    const fits = () => pattern(fitting);
    assert.equal(eventually(fits), true);
    assert.equal(pattern(endless), null);
    fits();
    useUp();
    assert.equal(fits(), null);
    const later = () => {
      skip(5 * minute + 1);
      fits();
      useUp();
      return fits();
    };
    assert.equal(eventually(later), true);
  });

  it("let forms that are slow each time, and end, use up only the time of the others, and check them within that", () => {
    /** One minute: each second two checks of 40 ms and ten of a sane form, on a clock of their own. */
    const minuteOfBoth = () => {
      let clockMs = 0;
      const told: SlowForm[] = [];
      const compile = checkCompilers(
        (form) => told.push(form),
        () => clockMs,
      );
      const quick = compile.jsonSchema(sane);
      const slow = compile.jsonSchema(JSON.stringify({ type: "array", uniqueItems: true }));
      /** Read when it is compared, which takes its time once. */
      const answer = () => {
        let isRead = false;
        const first = {
          get a() {
            if (!isRead) clockMs += 40;
            isRead = true;
            return 1;
          },
        };
        return [first, { a: 2 }];
      };
      const [quickOnes, slowOnes]: [unknown[], unknown[]] = [[], []];
      for (let i = 0; i < 600; i++) {
        clockMs += 100;
        if (i % 5 === 0) slowOnes.push(slow(answer()));
        quickOnes.push(quick({ a: "b" }));
      }
      return { told, quickOnes, slowOnes };
    };
    // A machine that stands still for 50 ms makes any check one that ran out of time: then it says nothing.
    let seen = minuteOfBoth();
    for (let tried = 1; tried < 10 && seen.told.length > 0; tried++) seen = minuteOfBoth();
    assert.deepEqual([seen.told, new Set(seen.quickOnes)], [[], new Set([true])]);
    const checked = seen.slowOnes.filter((result) => result === true).length;
    // 80 ms a second are asked for, and 50 are there.
    assert.ok(checked > 60 && checked < 110, `${checked} of 120`);
  });

  it("are not asked again for a form that is in use, however many others come", () => {
    let compiled = 0;
    const pattern = () => {
      compiled++;
      return () => true;
    };
    const forms = schemaForms({ jsonSchema: () => () => true, pattern });
    const ask = (asked: string) => forms({ ...defaultSchemaCheck, source: "pattern", pattern: asked }, null);
    const first = ask("used");
    for (let i = 0; i < 2_000; i++) {
      ask(String(i));
      assert.equal(ask("used"), first);
    }
    assert.equal(compiled, 2_001);
  });
});
