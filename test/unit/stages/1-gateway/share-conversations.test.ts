import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { pino } from "pino";
import type { Crew, FirstProcess } from "../../../../src/runtime/process/crew.ts";
import { type CrewLine, LineEnd, type LineHearer } from "../../../../src/runtime/process/crew-line.ts";
import { Conversations } from "../../../../src/stages/1-gateway/call/conversations.ts";
import { leadConversations, shareConversations } from "../../../../src/stages/1-gateway/call/share-conversations.ts";
import { until } from "./harness.ts";

const usual = { max: 5_000, idleMs: 60_000 };
/** Nothing else runs with the same first question. */
const begun = { body: null, staysWith: () => false };
const of = (key: string) => ({ key, continues: true, isStranger: false });
const serve = (memory: Conversations, key: string, version = "a@1", responseId: string | null = null) =>
  memory.served(of(key), { version, subject: "s", responseId, nowMs: 0, ...begun });
const versionsIn = (memory: Conversations, keys: readonly string[]) => keys.map((key) => memory.versionOf(of(key), 0));
const keysOf = (count: number, name: string) => Array.from({ length: count }, (_, i) => `${name}${i}`);
const log = pino({ level: "silent" });
const collected = () => {
  const warned: string[] = [];
  return { warned, log: pino({ level: "warn" }, { write: (line) => void warned.push(line) }) };
};

interface Wire {
  /** Messages to this worker that it has not read. */
  readonly unread: string[];
  /** Messages that it reads before it hangs. */
  reads: number;
  read(): void;
  thaw(): void;
  /** The worker is gone. */
  cut(): void;
}

/** The channels of a first process and its workers in one process: JSON there and back, in order, some time later. Lines and sharing are the real ones. */
class Channels {
  #onLine: ((line: CrewLine) => LineHearer) | null = null;
  readonly crew = { onLine: (listener: (line: CrewLine) => LineHearer) => (this.#onLine = listener) } as unknown as Crew;
  /** Sizes of messages to workers, in facts. */
  readonly sizes: number[] = [];

  worker(): { first: FirstProcess; wire: Wire } {
    const hear = (end: LineEnd, text: string) => end.hear(JSON.parse(text) as { kind: string });
    const atFirst: LineEnd = new LineEnd((message) => {
      const { body } = message as { body?: { facts: unknown[] } };
      if (body !== undefined) this.sizes.push(body.facts.length);
      wire.unread.push(JSON.stringify(message));
      setImmediate(read);
    });
    let own: LineEnd | null = null;
    const read = () => {
      for (; wire.reads > 0 && own !== null && wire.unread.length > 0; wire.reads--) hear(own, wire.unread.shift() as string);
    };
    const wire: Wire = {
      unread: [],
      reads: Number.POSITIVE_INFINITY,
      read: () => read(),
      thaw: () => {
        wire.reads = Number.POSITIVE_INFINITY;
        read();
      },
      cut: () => {
        atFirst.end();
        own?.end();
      },
    };
    const toFirst = (text: string) => {
      if (text.includes("headgate:line-open")) atFirst.open(this.#onLine?.(atFirst) as LineHearer);
      else hear(atFirst, text);
    };
    const openLine = (hearer: LineHearer) => {
      own = new LineEnd((message) => setImmediate(toFirst, JSON.stringify(message)));
      own.open(hearer);
      own.openOther();
      return own;
    };
    return { first: { openLine } as unknown as FirstProcess, wire };
  }

  /** A worker that has heard what the others know. */
  async join(options = usual) {
    const { first, wire } = this.worker();
    const memory = new Conversations(options);
    await shareConversations(memory, first, { ...options, log });
    return { memory, wire };
  }
}

describe("workers of one gateway", () => {
  it("know of each other's conversations and stored responses, and forget none that moves from worker to worker", async () => {
    const channels = new Channels();
    leadConversations(channels.crew, usual);
    const [a, b, c] = [await channels.join(), await channels.join(), await channels.join()];
    serve(a.memory, "c1", "a@1", "resp_1");
    await until("b knows", () => b.memory.subjectOf({ previous_response_id: "resp_1" }) === "s");
    assert.equal(b.memory.versionOf(of("c1"), 0), "a@1");
    assert.equal(b.memory.of({ route: "r", request: { previous_response_id: "resp_1" }, subject: "s", turn: 0, requestId: "q" }).key, "c1");
    serve(b.memory, "c1", "b@2");
    await until("all know", () => [a, b, c].every(({ memory }) => memory.versionOf(of("c1"), 0) === "b@2"));
  });

  it("learn all of it in pieces when they start later, before they serve", async () => {
    const channels = new Channels();
    leadConversations(channels.crew, usual);
    const [a, b] = [await channels.join(), await channels.join()];
    const keys = keysOf(2_000, "c");
    for (const key of keys) serve(a.memory, key, "a@1", `resp-${key}`);
    await until("b knows the last", () => b.memory.subjectOf({ previous_response_id: "resp-c1999" }) === "s");
    a.wire.cut();
    channels.sizes.length = 0;
    const late = await channels.join();
    assert.deepEqual([...late.memory.facts()], [...b.memory.facts()]);
    assert.equal([...late.memory.facts()].length, 4_000);
    assert.ok(channels.sizes.length > 4 && channels.sizes.every((size) => size <= 512), `${channels.sizes}`);
  });

  it("that start later and are not told all in time know the newest of each kind, and the rest later", async () => {
    const channels = new Channels();
    const options = { max: 12_000, idleMs: 60_000 };
    leadConversations(channels.crew, options);
    const [a, b] = [await channels.join(options), await channels.join(options)];
    for (const key of keysOf(12_000, "c")) serve(a.memory, key, "a@1", `resp-${key}`);
    await until("b knows the last", () => b.memory.subjectOf({ previous_response_id: "resp-c11999" }) === "s");
    const { first, wire } = channels.worker();
    wire.reads = 40;
    const memory = new Conversations(options);
    const { warned, log: own } = collected();
    const joining = shareConversations(memory, first, { ...options, log: own });
    await until("it hangs", () => wire.reads === 0);
    const newest = keysOf(12_000, "c").slice(-5_000);
    assert.deepEqual(new Set(versionsIn(memory, newest)), new Set(["a@1"]));
    for (const key of newest) assert.equal(memory.subjectOf({ previous_response_id: `resp-${key}` }), "s");
    await joining;
    assert.match(warned.join(), /2,000 ms/);
    // What is new meanwhile does not wait for all that is old.
    serve(b.memory, "c7", "b@2");
    serve(b.memory, "new");
    await until("a knows", () => a.memory.versionOf(of("new"), 0) === "a@1");
    wire.reads = 2;
    wire.read();
    await until("it hangs again", () => wire.reads === 0);
    assert.deepEqual(versionsIn(memory, ["new", "c7", "c3000"]), ["a@1", "b@2", undefined]);
    wire.thaw();
    await until("it knows all", () => memory.versionOf(of("c3000"), 0) === "a@1" && wire.unread.length === 0);
    await until("it is told all", () => isDeepStrictEqual([...memory.facts()], [...a.memory.facts()]));
  });

  it("that hang cost the first process one message, hold up nobody, and hear the newest of everything when they go on", async () => {
    const channels = new Channels();
    const options = { max: 1_000, idleMs: 60_000 };
    leadConversations(channels.crew, options);
    const [a, b, hung] = [await channels.join(options), await channels.join(options), await channels.join(options)];
    hung.wire.reads = 0;
    for (let i = 0; i < 3; i++) {
      for (const key of keysOf(1_000, `${i}-`)) serve(a.memory, key);
      await until("b knows", () => b.memory.versionOf(of(`${i}-999`), 0) === "a@1");
    }
    serve(a.memory, "2-999", "b@2");
    await until("b knows", () => b.memory.versionOf(of("2-999"), 0) === "b@2");
    assert.equal(hung.wire.unread.length, 1);
    hung.wire.thaw();
    await until("it knows", () => hung.memory.versionOf(of("2-999"), 0) === "b@2");
    assert.deepEqual([...hung.memory.facts()], [...b.memory.facts()]);
    assert.equal([...hung.memory.facts()].length, 1_000);
  });

  it("serve though nobody tells them anything, after a moment", async () => {
    const channels = new Channels();
    leadConversations(channels.crew, usual);
    const { first, wire } = channels.worker();
    wire.reads = 0;
    const { warned, log: own } = collected();
    await shareConversations(new Conversations(usual), first, { ...usual, log: own });
    assert.match(warned.join(), /"facts":0.*2,000 ms/);
    const gone = channels.worker();
    const joining = shareConversations(new Conversations(usual), gone.first, { ...usual, log });
    gone.wire.cut();
    await joining;
  });

  it("share nothing where none is remembered, and pass over what they do not understand", async () => {
    const none = { max: 0, idleMs: 60_000 };
    const refusing = { openLine: () => assert.fail("it shares"), onLine: () => assert.fail("it shares") } as unknown as FirstProcess & Crew;
    leadConversations(refusing, none);
    await shareConversations(new Conversations(none), refusing, { ...none, log });

    const channels = new Channels();
    leadConversations(channels.crew, usual);
    const b = await channels.join();
    const { first } = channels.worker();
    const line = first.openLine({ heard: () => undefined, ended: () => undefined });
    for (const body of [null, 7, {}, { facts: 7 }, { facts: [null, ["c"], ["c", "0", "a@1"], ["c", 0, 1], ["c", 0, "a", "b", "c"], ["good", 0, "a@1"]] }]) {
      assert.equal(await line.send(body), true);
    }
    await until("b knows the good one", () => [...b.memory.facts()].length === 1);
    assert.deepEqual(versionsIn(b.memory, ["good"]), ["a@1"]);
  });
});
