import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { bucketOf } from "../../../../src/domain/routing/buckets.ts";
import { type AttemptTable, decodeFirstSights, FirstSights, READ_BACK_RECORDS } from "../../../../src/domain/sampling/first-sights.ts";
import type { Request } from "../../../../topics/index.ts";

type Call = Pick<Request, "route" | "rollout" | "attempt" | "epoch" | "exposure" | "subject">;
const call = (changes: Partial<Call> = {}): Call => ({ route: "r", rollout: "x", attempt: 1, epoch: 101, exposure: "served", subject: "a", ...changes });
const table = (changes: Partial<AttemptTable> = {}): AttemptTable => ({ rollout: "x", attempt: 1, epoch: 101, attemptStartedAtMs: 100, ...changes });
const resumed = (text: string) => decodeFirstSights(text) ?? assert.fail(`cannot be read: ${text}`);

interface Published {
  readonly route: string;
  readonly table: AttemptTable;
}

/** A route's tables as a decider publishes them: epochs grow, also beyond the clock; attempts follow each other, with idle times between. */
function history(
  route: string,
  moves: readonly { readonly what: "step" | "attempt" | "idle"; readonly afterMs: number; readonly ahead: number }[],
): Published[] {
  let [atMs, epoch, attempt, startedAtMs] = [1_000, 0, 0, 0];
  return moves.map(({ what, afterMs, ahead }) => {
    atMs += afterMs;
    epoch = Math.max(epoch + ahead, atMs) + 1;
    if (what === "attempt" || (what === "step" && startedAtMs === 0)) [attempt, startedAtMs] = [attempt + 1, atMs];
    if (what === "idle") startedAtMs = 0;
    const isIdle = startedAtMs === 0;
    return { route, table: { rollout: isIdle ? "" : "x", attempt: isIdle ? 0 : attempt, epoch, attemptStartedAtMs: startedAtMs } };
  });
}

const moves = fc.array(fc.record({ what: fc.constantFrom("step", "step", "attempt", "idle"), afterMs: fc.nat(3), ahead: fc.constantFrom(0, 0, 0, 5) }), {
  minLength: 1,
  maxLength: 6,
});
/** A record of the partition: which table its gateway obeyed, and which one the sampler has. */
const events = fc.array(
  fc.record({
    route: fc.constantFrom("r", "s"),
    subject: fc.constantFrom("a", "b", "c", "d", "e", "f"),
    exposure: fc.constantFrom("served", "served", "served", "shadow"),
    /** The newest table grows with time; this one is so many behind. */
    obeyedBehind: fc.constantFrom(0, 0, 0, 1, 2),
    heldBehind: fc.constantFrom(0, 0, 0, 0, 1, 3),
    after: fc.constantFrom("go on", "go on", "go on", "commit", "crash", "lose metadata"),
    removed: fc.constantFrom(0, 0, 0, 2),
  }),
  { minLength: 1, maxLength: 60 },
);

type Event = (typeof events extends fc.Arbitrary<infer E> ? E : never)[number];
/** No epoch of a history is as large. */
const LATE_MS = 1_000_000;

/** One partition of `requests` with its owners, each of which may die and lose what it has not committed. */
class Partition {
  /** How often the record at an offset was committed as a first sight. */
  readonly counted = new Map<number, number>();
  readonly #log: readonly { readonly call: Call; readonly held: AttemptTable | undefined }[];
  readonly #events: readonly Event[];
  readonly #limits: { readonly perAttempt: number; readonly perTask: number };
  #sights: FirstSights;
  #committed: { readonly offset: number; readonly text: string | null } = { offset: 0, text: null };
  #pending: number[] = [];
  /** Everything before it is removed by retention. */
  #low = 0;

  constructor(
    tables: Readonly<Record<string, readonly Published[]>>,
    all: readonly Event[],
    limits: { readonly perAttempt: number; readonly perTask: number },
  ) {
    this.#events = all;
    this.#limits = limits;
    this.#sights = new FirstSights(undefined, limits);
    this.#log = all.map(({ route, subject, exposure, obeyedBehind, heldBehind }, i) => {
      const published = tables[route] ?? [];
      const newest = Math.floor((i / all.length) * published.length);
      const obeyed = published[Math.max(0, newest - obeyedBehind)]?.table ?? assert.fail();
      return { call: { route, subject, exposure, ...obeyed }, held: published[newest - heldBehind]?.table };
    });
  }

  /** Offset of the first served call of the subject of a record, in its attempt. */
  firstOf(at: number): number {
    const keyAt = (i: number) => {
      const { route, rollout, attempt, subject } = this.#log[i]?.call ?? assert.fail();
      return JSON.stringify([route, rollout, attempt, subject]);
    };
    return this.#log.findIndex(({ call: each }, i) => each.exposure === "served" && keyAt(i) === keyAt(at));
  }

  play(): void {
    const done = new Set<number>();
    for (let i = 0; i < this.#log.length; ) {
      const at = i;
      if (this.#see(at) === true) this.#pending.push(at);
      i++;
      // Each event happens once, or the one that crashes would do so for ever.
      const { after, removed } = this.#events[at] ?? assert.fail();
      if (done.has(at)) continue;
      done.add(at);
      if (after === "commit") this.#commit(i, removed);
      else if (after !== "go on") i = this.#successor(after === "crash");
    }
    this.#commit(this.#log.length, 0);
  }

  #see(at: number): boolean | null {
    const { call: each, held } = this.#log[at] ?? assert.fail();
    return this.#sights.see(each, held, at);
  }

  #commit(offset: number, removed: number): void {
    for (const at of this.#pending) this.counted.set(at, (this.counted.get(at) ?? 0) + 1);
    this.#pending = [];
    this.#committed = { offset, text: this.#sights.encode(offset) };
    this.#low = Math.min(this.#low + removed, offset);
  }

  /** @returns the offset from which the successor counts */
  #successor(hasMetadata: boolean): number {
    const { offset, text } = this.#committed;
    this.#pending = [];
    this.#sights = new FirstSights(text === null || !hasMetadata ? undefined : resumed(text), this.#limits);
    if (text !== null && !hasMetadata) this.#sights.forgetHistory(LATE_MS);
    for (let back = Math.max(this.#sights.readFrom ?? offset, this.#low); back < offset; back++) this.#see(back);
    return offset;
  }
}

describe("subjects at first sight", () => {
  it("counts a subject once per attempt, and knows nothing of other exposures and of idle routes", () => {
    const sights = new FirstSights();
    const all = [call(), call(), call({ subject: "b", exposure: "shadow" }), call({ subject: "b" }), call({ rollout: "", attempt: 0 })];
    assert.deepEqual(
      all.map((each, i) => sights.see(each, table(), i)),
      [true, false, null, true, null],
    );
    assert.equal(sights.see(call({ attempt: 2, epoch: 201 }), table({ attempt: 2, epoch: 201, attemptStartedAtMs: 200 }), 9), true);
    assert.equal(sights.see(call({ epoch: 102 }), table({ attempt: 2, epoch: 201, attemptStartedAtMs: 200 }), 10), null);
  });

  it("does not know an attempt of which calls were seen before its table was there, nor one without a start", () => {
    const sights = new FirstSights();
    const other = table({ rollout: "w", epoch: 90, attemptStartedAtMs: 80 });
    assert.deepEqual([sights.see(call(), undefined, 0), sights.see(call(), table(), 1)], [null, null]);
    assert.deepEqual([sights.see(call({ route: "s" }), other, 2), sights.see(call({ route: "s" }), table(), 3)], [null, null]);
    assert.equal(new FirstSights().see(call(), table({ attemptStartedAtMs: 0 }), 0), null);
  });

  it("forgets an attempt that is over", () => {
    const sights = new FirstSights();
    for (const subject of ["a", "b", "c"]) sights.see(call({ subject }), table(), 0);
    assert.equal(sights.size, 3);
    sights.see(call({ rollout: "", attempt: 0, epoch: 150 }), table({ rollout: "", attempt: 0, epoch: 150, attemptStartedAtMs: 0 }), 4);
    assert.equal(sights.size, 0);
    assert.equal(sights.see(call(), table(), 5), null, "also where a table comes back that cannot");
  });

  it("is known to a successor that reads the attempt again, and not known to one that cannot", () => {
    const first = new FirstSights();
    first.see(call(), table(), 40);
    const text = first.encode(50);
    const next = new FirstSights(resumed(text));
    assert.equal(next.readFrom, 40);
    next.see(call(), table(), 40);
    assert.deepEqual([next.see(call(), table(), 50), next.see(call({ subject: "b" }), table(), 51)], [false, true]);
    const late = new FirstSights(resumed(text));
    assert.deepEqual([late.see(call({ subject: "b" }), table(), 41), late.see(call({ subject: "c" }), table(), 50)], [null, null]);
    assert.equal(new FirstSights(resumed(first.encode(41 + READ_BACK_RECORDS))).readFrom, null);
    assert.equal(new FirstSights(resumed(first.encode(41 + READ_BACK_RECORDS))).see(call({ subject: "b" }), table(), 99_999), null);
  });

  it("after a lost history knows attempts that start later, when no clock can be so wrong", () => {
    const sights = new FirstSights();
    sights.forgetHistory(1_000);
    assert.equal(sights.see(call({ epoch: 2_001 }), table({ epoch: 2_001, attemptStartedAtMs: 2_000 }), 1), null);
    const started = 1_000 + 3_600_000;
    assert.equal(sights.see(call({ attempt: 2, epoch: started + 1 }), table({ attempt: 2, epoch: started + 1, attemptStartedAtMs: started }), 2), true);
    assert.equal(decodeFirstSights("i1|0|0"), null);
    assert.equal(decodeFirstSights(""), null);
  });

  it("counts nobody twice and nobody but at first sight, in any interleaving of routes, attempts, late tables, crashes and retention", () => {
    fc.assert(
      fc.property(moves, moves, events, fc.constantFrom(2, 3, 100), (r, s, given, perAttempt) => {
        const partition = new Partition({ r: history("r", r), s: history("s", s) }, given, { perAttempt, perTask: 5 });
        partition.play();
        for (const [at, times] of partition.counted) {
          assert.equal(times, 1);
          assert.equal(partition.firstOf(at), at, "counted, but not at first sight");
        }
      }),
      { numRuns: 400 },
    );
  });

  it("counts everybody when it has known the attempt from its beginning and there is room", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(30), { maxLength: 80 }), fc.nat(80), (subjects, at) => {
        let sights = new FirstSights();
        let news = 0;
        for (const [i, subject] of subjects.entries()) {
          if (i === at) {
            const next = new FirstSights(resumed(sights.encode(i)));
            for (let back = next.readFrom ?? i; back < i; back++) next.see(call({ subject: String(subjects[back]) }), table(), back);
            sights = next;
          }
          news += Number(sights.see(call({ subject: String(subject) }), table(), i));
        }
        assert.equal(news, new Set(subjects).size);
      }),
      { numRuns: 100 },
    );
  });

  it("beyond its room counts a part that does not depend on the arm, the same for whoever was already in it", () => {
    const sights = new FirstSights(undefined, { perAttempt: 1_000 });
    const counted: string[] = [];
    for (let i = 0; i < 8_000; i++) if (sights.see(call({ subject: `subject-${i}` }), table(), i) === true) counted.push(`subject-${i}`);
    assert.ok(sights.size <= 1_000 && sights.size > 400, `${sights.size} kept`);
    assert.ok(counted.length > 1_500, `${counted.length} counted`);
    for (const subject of counted) assert.equal(sights.see(call({ subject }), table(), 9_000), false);
    const candidates = counted.filter((subject) => bucketOf("salt", subject) < 5_000).length;
    // Seeded by the names: 4 standard errors.
    assert.ok(Math.abs(candidates / counted.length - 0.5) < 2 / Math.sqrt(counted.length), `${candidates} of ${counted.length} in one half`);
  });
});
