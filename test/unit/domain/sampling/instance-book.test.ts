import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { BOOK_BYTES, clampToAppend, InstanceBook, type Stamp } from "../../../../src/domain/sampling/instance-book.ts";

const stamp = (changes: Partial<Stamp> = {}): Stamp => ({ instance: "g1", seq: 1, markMs: 900, appendedAtMs: 1_000, ...changes });

describe("the book of instances", () => {
  it("drops repeats and counts what is missing", () => {
    const book = new InstanceBook();
    const arrivals = [1, 2, 3, 2, 3, 4, 7].map((seq) => book.take(stamp({ seq })));
    assert.deepEqual(
      arrivals.map((arrival) => (arrival.kind === "next" ? arrival.lost : arrival.kind)),
      [0, 0, 0, "repeat", "repeat", 0, 2],
    );
  });

  it("does not take the first number that it sees of an instance for a loss", () => {
    assert.deepEqual(new InstanceBook().take(stamp({ seq: 90 })), { kind: "next", lost: 0 });
  });

  it("takes records of writers without numbers as they come", () => {
    const book = new InstanceBook();
    assert.deepEqual([book.take(stamp({ seq: 0 })), book.take(stamp({ seq: 0 }))], [{ kind: "unnumbered" }, { kind: "unnumbered" }]);
  });

  it("has the least mark of the live instances as watermark", () => {
    const book = new InstanceBook();
    assert.equal(book.watermarkMs, null);
    book.take(stamp({ instance: "g1", markMs: 800 }));
    book.take(stamp({ instance: "g2", markMs: 900 }));
    assert.equal(book.watermarkMs, 800);
    book.take(stamp({ instance: "g1", seq: 2, markMs: 950 }));
    assert.equal(book.watermarkMs, 900);
  });

  it("no longer waits for an instance that was silent for 30 s of the partition's time, and still knows its repeats", () => {
    const book = new InstanceBook();
    book.take(stamp({ instance: "dead", seq: 5, markMs: 800 }));
    book.take(stamp({ instance: "g2", markMs: 30_500, appendedAtMs: 31_000 }));
    assert.equal(book.watermarkMs, 800);
    book.take(stamp({ instance: "g2", seq: 2, markMs: 30_600, appendedAtMs: 31_001 }));
    assert.equal(book.watermarkMs, 30_600);
    assert.deepEqual(book.take(stamp({ instance: "dead", seq: 5, markMs: 800, appendedAtMs: 31_002 })), { kind: "repeat" });
  });

  it("never goes back, also when an instance comes late", () => {
    const book = new InstanceBook();
    book.take(stamp({ markMs: 900 }));
    book.take(stamp({ instance: "new", markMs: 100 }));
    assert.equal(book.watermarkMs, 900);
  });

  it("does not let one wrong clock close everybody's panes", () => {
    const book = new InstanceBook();
    book.take(stamp({ markMs: 9_000_000 }));
    assert.equal(book.watermarkMs, 1_000);
    assert.deepEqual(clampToAppend(6_001, 1_000), { atMs: 1_000, clamped: true });
    assert.deepEqual(clampToAppend(6_000, 1_000), { atMs: 6_000, clamped: false });
  });

  it("is the same after it went through the commit metadata, wherever that happens", () => {
    const stamps = fc.array(fc.record({ instance: fc.constantFrom("a", "b", "c"), seq: fc.nat(30), markMs: fc.nat(200_000), appendedAtMs: fc.nat(200_000) }), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(stamps, fc.nat(60), (all, at) => {
        const whole = new InstanceBook();
        let moved = new InstanceBook();
        for (const [i, each] of all.entries()) {
          if (i === at) moved = InstanceBook.decode(moved.encode().text);
          assert.deepEqual(moved.take(each), whole.take(each));
          assert.equal(moved.watermarkMs, whole.watermarkMs);
        }
      }),
    );
  });

  it("fits the commit metadata with any number of instances, keeps those that wrote last, and says how many live ones it forgot", () => {
    const book = new InstanceBook();
    for (let i = 0; i < 500; i++)
      book.take(stamp({ instance: `gateway-${i}`, seq: 1_000_000 + i, markMs: 1_700_000_000_000 + i, appendedAtMs: 1_700_000_000_100 + i }));
    const { text, forgotten } = book.encode();
    assert.ok(text.length <= BOOK_BYTES);
    assert.ok(book.size > 100 && book.size + forgotten === 500, `${book.size} kept, ${forgotten} forgotten`);
    assert.deepEqual(book.take(stamp({ instance: "gateway-499", seq: 1_000_499 })), { kind: "repeat" });
  });

  it("refuses metadata that it did not write", () => {
    assert.throws(() => InstanceBook.decode("w1|0"), /format w1/);
    assert.throws(() => InstanceBook.decode("i1|zz|zz|id"), /cannot be read/);
  });
});
