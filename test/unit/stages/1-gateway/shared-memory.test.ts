import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Fact } from "../../../../src/stages/1-gateway/call/conversation-facts.ts";
import { Conversations } from "../../../../src/stages/1-gateway/call/conversations.ts";

const idleMs = 3_000;
/** By the rule: a thirtieth. */
const renewMs = 100;
const options = { max: 1_000, idleMs };
/** Nothing else runs with the same first question. */
const begun = { body: null, staysWith: () => false };
const of = (key: string) => ({ key, continues: true, isStranger: false });
const serve = (memory: Conversations, key: string, about: { version?: string; nowMs: number; responseId?: string }) =>
  memory.served(of(key), { version: about.version ?? "a@1", subject: "s", responseId: about.responseId ?? null, nowMs: about.nowMs, ...begun });
const sorted = (facts: readonly Fact[]) => facts.map((fact) => JSON.stringify(fact)).toSorted();
const telling = (memory: Conversations): Fact[] => {
  const told: Fact[] = [];
  memory.onRemembered((fact) => told.push(fact));
  return told;
};

const times = fc.integer({ min: 0, max: 6 });
const names = fc.constantFrom("x", "y", "z");
const fact: fc.Arbitrary<Fact> = fc.oneof(fc.tuple(names, times, names), fc.tuple(names, times, names, names));

describe("what one process tells the others of its conversations", () => {
  it("is what is new: a conversation, another version, one that was last told a thirtieth of idleMs ago, each response", () => {
    const memory = new Conversations(options);
    const told = telling(memory);
    const at = (nowMs: number, version = "a@1") => {
      serve(memory, "c", { nowMs, version });
      return told.splice(0);
    };
    assert.deepEqual(at(0), [["c", 0, "a@1"]]);
    assert.deepEqual([...at(1), ...at(99)], []);
    assert.deepEqual(at(100), [["c", 100, "a@1"]]);
    assert.deepEqual(at(199), []);
    assert.deepEqual(at(199, "b@2"), [["c", 200, "b@2"]]);
    assert.deepEqual([...at(250, "b@2"), ...at(299, "b@2")], []);
    assert.deepEqual(at(300, "b@2"), [["c", 300, "b@2"]]);
    serve(memory, "c", { nowMs: 301, version: "b@2", responseId: "resp_1" });
    assert.deepEqual(
      told.map((each) => each.slice(1)),
      [[301, "s", "c"]],
    );
    assert.ok(!JSON.stringify(told).includes("resp_1"));
  });

  it("is at most once a minute for a conversation under the usual idleMs, and nothing where none is remembered", () => {
    const memory = new Conversations({ max: 10, idleMs: 1_800_000 });
    const told = telling(memory);
    for (let nowMs = 0; nowMs < 180_000; nowMs += 500) serve(memory, "c", { nowMs });
    assert.deepEqual(
      told.map(([, atMs]) => atMs),
      [0, 60_000, 120_000],
    );
    const none = new Conversations({ max: 0, idleMs });
    const nothing = telling(none);
    serve(none, "c", { nowMs: 0, responseId: "resp_1" });
    assert.deepEqual([none.take(told), [...none.facts()], nothing], [[], [], []]);
  });

  it("is not told again by those who heard it until that time has passed", () => {
    const memory = new Conversations(options);
    const told = telling(memory);
    memory.take([["c", 50, "a@1"]]);
    serve(memory, "c", { nowMs: 149 });
    assert.deepEqual(told, []);
    serve(memory, "c", { nowMs: 150 });
    assert.deepEqual(told, [["c", 150, "a@1"]]);
  });
});

describe("a conversation that goes on after the clock was set back", () => {
  it("is told and put last all the same, after what is known of it", () => {
    const memory = new Conversations({ max: 2, idleMs });
    const told = telling(memory);
    serve(memory, "c", { nowMs: 10_000 });
    serve(memory, "d", { nowMs: 10_001 });
    serve(memory, "c", { nowMs: 9_901 });
    assert.equal(told.splice(0).length, 2);
    serve(memory, "c", { nowMs: 9_900 });
    assert.deepEqual(told.splice(0), [["c", 10_001, "a@1"]]);
    serve(memory, "c", { nowMs: 5_000 });
    assert.deepEqual(told.splice(0), [["c", 10_002, "a@1"]]);
    serve(memory, "e", { nowMs: 5_001 });
    assert.deepEqual(
      ["c", "d", "e"].map((key) => memory.versionOf(of(key), 5_002)),
      ["a@1", undefined, "a@1"],
    );
  });
});

describe("a stored response that calls go on with", () => {
  const goOn = (memory: Conversations, nowMs: number, responseId: string | null = null) => {
    const conversation = memory.of({ route: "r", request: { previous_response_id: "root" }, subject: "s", turn: 1, requestId: "q" });
    memory.served(conversation, { version: "a@1", subject: "s", responseId, nowMs, ...begun });
  };
  const isKnown = (memory: Conversations, id: string) => memory.subjectOf({ previous_response_id: id }) !== undefined;

  it("is put last each time, so that it is not forgotten by its age", () => {
    const memory = new Conversations({ max: 2, idleMs });
    serve(memory, "c", { nowMs: 0, responseId: "root" });
    serve(memory, "d", { nowMs: 1, responseId: "other" });
    goOn(memory, 2);
    serve(memory, "e", { nowMs: 3, responseId: "third" });
    assert.deepEqual(
      ["root", "other", "third"].map((id) => isKnown(memory, id)),
      [true, false, true],
    );
  });

  it("is told again like a conversation, so that the others do not forget it either", () => {
    const [memory, other] = [new Conversations({ max: 2, idleMs }), new Conversations({ max: 2, idleMs })];
    const told = telling(memory);
    const responsesTold = () => told.splice(0).filter((each) => each.length === 4);
    serve(memory, "c", { nowMs: 0, responseId: "root" });
    const [root] = responsesTold();
    assert.ok(root);
    other.take([root, ["r2", 1, "s", "d"]]);
    goOn(memory, renewMs - 1);
    assert.deepEqual(responsesTold(), []);
    goOn(memory, renewMs);
    const renewed = responsesTold();
    assert.deepEqual(renewed, [[root[0], renewMs, "s", "c"]]);
    assert.deepEqual(other.take(renewed), renewed);
    other.take([["r3", renewMs + 1, "s", "e"]]);
    assert.ok(isKnown(other, "root"));
    // Forgotten before the answer came: there is nothing to put last.
    const late = memory.of({ route: "r", request: { previous_response_id: "root" }, subject: "s", turn: 1, requestId: "q" });
    memory.take([
      ["r2", renewMs + 2, "s", "d"],
      ["r3", renewMs + 3, "s", "e"],
    ]);
    memory.served(late, { version: "a@1", subject: "s", responseId: null, nowMs: 1_000, ...begun });
    assert.ok(!isKnown(memory, "root"));
  });
});

describe("a memory that hears facts", () => {
  it("is the same in the end whatever their order, and however often they come", () => {
    fc.assert(
      fc.property(
        fc
          .array(fact, { maxLength: 30 })
          .chain((facts) =>
            fc.tuple(
              fc.constant(facts),
              fc.array(fc.shuffledSubarray(facts, { minLength: Math.ceil(facts.length / 2) }), { maxLength: 4 }),
              fc.shuffledSubarray(facts, { minLength: facts.length }),
            ),
          ),
        ([facts, repeats, shuffled]) => {
          const [one, two] = [new Conversations(options), new Conversations(options)];
          one.take(facts);
          for (const batch of [...repeats, shuffled, ...repeats]) two.take(batch);
          assert.deepEqual(sorted([...two.facts()]), sorted([...one.facts()]));
          assert.deepEqual(two.take(facts), []);
        },
      ),
    );
  });

  it("keeps what is younger, and says which facts were news", () => {
    const memory = new Conversations(options);
    assert.deepEqual(
      memory.take([
        ["c", 5, "a@1"],
        ["c", 4, "b@2"],
        ["c", 5, "a@1"],
        ["c", 6, "b@2"],
      ]),
      [
        ["c", 5, "a@1"],
        ["c", 6, "b@2"],
      ],
    );
    assert.equal(memory.versionOf(of("c"), 6), "b@2");
  });

  it("holds no more than it may, and forgets first what was used longest ago", () => {
    const memory = new Conversations({ max: 2, idleMs });
    const facts: Fact[] = ["a", "b", "c", "d"].flatMap((key, i): Fact[] => [
      [key, i, "a@1"],
      [key, i, "s", key],
    ]);
    memory.take(facts);
    assert.deepEqual([...memory.facts()], facts.slice(4));
    assert.deepEqual([...memory.facts(1)], facts.slice(6));
  });

  it("that is told another's whole, in its order, forgets in that order, also when it heard of the newest before", () => {
    const donor = new Conversations({ max: 4, idleMs });
    donor.take(["a", "b", "c", "d"].map((key, i): Fact => [key, i, "a@1"]));
    const memory = new Conversations({ max: 4, idleMs });
    memory.take([
      ["d", 3, "a@1"],
      ["c", 2, "a@1"],
    ]);
    memory.take([...donor.facts()]);
    assert.deepEqual([...memory.facts()], [...donor.facts()]);
  });
});

describe("several memories that tell each other", () => {
  interface Step {
    readonly kind: "serve" | "deliver";
    readonly who: number;
    readonly key: string;
    readonly version: string;
    readonly afterMs: number;
    readonly pick: number;
  }
  const stepsOf = (...aftersMs: number[]): fc.Arbitrary<Step[]> =>
    fc.array(
      fc.record({
        kind: fc.constantFrom("serve" as const, "deliver" as const),
        who: fc.nat(2),
        key: fc.constantFrom("c1", "c2"),
        version: fc.constantFrom("a@1", "b@2"),
        afterMs: fc.constantFrom(...aftersMs),
        pick: fc.nat(),
      }),
      { minLength: 1, maxLength: 60 },
    );

  /** Each to each, in any order. @returns when each conversation was served last, in truth, and what is now */
  function play(memories: readonly Conversations[], given: readonly Step[]) {
    const wires: { to: Conversations; fact: Fact }[] = [];
    for (const memory of memories) memory.onRemembered((told) => wires.push(...memories.filter((each) => each !== memory).map((to) => ({ to, fact: told }))));
    const deliver = (pick: number) => {
      const [message] = wires.splice(pick % wires.length, 1);
      message?.to.take([message.fact]);
    };
    const servedMs = new Map<string, number>();
    let nowMs = 0;
    for (const { kind, who, key, version, afterMs, pick } of given) {
      if (kind === "deliver") deliver(pick);
      else {
        nowMs += afterMs;
        const memory = memories[who];
        if (memory !== undefined) serve(memory, key, { version, nowMs });
        servedMs.set(key, nowMs);
      }
    }
    for (let i = 0; wires.length > 0; i++) deliver((given[i % given.length] as Step).pick);
    return { servedMs, nowMs };
  }

  it("agree on every version in the end, and none forgets what ran at another within idleMs", () => {
    fc.assert(
      fc.property(stepsOf(0, 0, 1, 30, 99, 100, 250), (given) => {
        const memories = [0, 1, 2].map(() => new Conversations(options));
        const { servedMs } = play(memories, given);
        for (const [key, lastMs] of servedMs) {
          const versions = memories.map((memory) => memory.versionOf(of(key), lastMs + idleMs));
          assert.ok(versions[0] !== undefined && versions.every((version) => version === versions[0]), `${key}: ${versions}`);
          const late = memories.map((memory) => memory.versionOf(of(key), lastMs + idleMs + 2 * renewMs));
          assert.deepEqual(new Set(late), new Set([undefined]));
        }
      }),
      { numRuns: 500 },
    );
  });

  it("agree as well when their clock is set back", () => {
    fc.assert(
      fc.property(stepsOf(0, 1, 99, 250, -90, -1_000), (given) => {
        const memories = [0, 1, 2].map(() => new Conversations(options));
        const { servedMs } = play(memories, given);
        for (const [key, lastMs] of servedMs) {
          const versions = memories.map((memory) => memory.versionOf(of(key), lastMs + idleMs));
          assert.ok(versions[0] !== undefined && versions.every((version) => version === versions[0]), `${key}: ${versions}`);
        }
      }),
      { numRuns: 500 },
    );
  });
});
