import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { pino } from "pino";
import { KnownError } from "../../src/errors/known-error.ts";
import { connectPatiently } from "../../src/runtime/patient-connect.ts";
import { Registry, RegistryUnreachableError } from "../../src/runtime/registry.ts";
import { BadRecordError, Serde, subjectOf } from "../../src/runtime/serde.ts";
import { avroOf } from "../../topics/avro.ts";
import { allTopics, type Outcome, outcomes, partials, type Request, requests, scores, type Topic } from "../../topics/index.ts";
import { until } from "../fixtures/until.ts";
import { valuesOf } from "./arbitraries.ts";
import { type RegistryStub, registryStub } from "./registry-stub.ts";

const outcome: Outcome = { id: "", token: "t", signal: "thumbs", value: 0.5, occurredAtMs: 5, source: "crm" };
const isKnown = (code: string) => (error: unknown) => error instanceof KnownError && error.code === code;

async function writer(stub: RegistryStub, topics: readonly Topic[] = allTopics, nowMs?: () => number): Promise<Serde> {
  for (const topic of topics) stub.register(subjectOf("p.", topic), avroOf(topic));
  const serde = await Serde.connect(stub.url, "p.", nowMs);
  await serde.prepare(topics);
  return serde;
}

const [anyRequest] = fc.sample(valuesOf(requests), { numRuns: 1, seed: 1 });
const request = (fields: Partial<Request> = {}): Request => ({ ...(anyRequest as Request), ...fields });

/** What was made into strings while `work` ran: `utf8Slice` is where avsc does it. */
function stringsReadFrom(bytes: Buffer, work: (bytes: Buffer) => unknown): string[] {
  const read: string[] = [];
  const watched = Buffer.from(bytes) as Buffer & { utf8Slice(from: number, to: number): string };
  const slice = watched.utf8Slice;
  watched.utf8Slice = (from, to) => {
    const text = slice.call(watched, from, to);
    read.push(text);
    return text;
  };
  work(watched);
  return read;
}

describe("Serde", () => {
  it("any valid value of any topic survives the wire format, as a plain object", async (t) => {
    const serde = await writer(await registryStub(t));
    for (const topic of allTopics) {
      fc.assert(
        fc.property(valuesOf(topic), (value) => {
          assert.deepStrictEqual(serde.decode(topic, serde.encode(topic, value)), value);
        }),
        { numRuns: 20 },
      );
    }
  });

  it("writes records larger than its buffer, and small ones after them", async (t) => {
    const serde = await writer(await registryStub(t), [requests]);
    for (const size of [10, 100_000, 3_000_000, 10]) {
      const value = request({ requestBody: "é".repeat(size) });
      assert.deepStrictEqual(serde.decode(requests, serde.encode(requests, value)), value);
    }
  });

  it("never makes bytes of what zod rejects; the error names topic and field, not the value", async (t) => {
    const serde = await writer(await registryStub(t));
    const secret = "my prompt";
    assert.throws(
      () => serde.encode(requests, request({ latencyMs: secret as never })),
      (error) =>
        isKnown("RECORD_INVALID")(error) &&
        /^requests\.latencyMs: .*expected number/.test((error as Error).message) &&
        !(error as Error).message.includes(secret),
    );
    for (const bad of [
      { ...outcome, value: 1.1 },
      { ...outcome, occurredAtMs: 1.5 },
      { ...outcome, token: undefined },
      { ...outcome, value: Number.NaN },
      null,
    ]) {
      assert.throws(() => serde.encode(outcomes, bad as Outcome), isKnown("RECORD_INVALID"));
    }
  });

  it("reads only the fields asked for: bodies never become strings", async (t) => {
    const serde = await writer(await registryStub(t), [requests]);
    const value = request({ requestBody: "REQUEST BODY", responseBody: "RESPONSE BODY", route: "support" });
    const bytes = serde.encode(requests, value);
    const fields = ["route", "latencyMs", "status"];
    await serde.decode(requests, bytes, fields);
    let read: unknown;
    const strings = stringsReadFrom(bytes, (watched) => {
      read = serde.decode(requests, watched, fields);
    });
    assert.deepStrictEqual(read, { route: "support", latencyMs: value.latencyMs, status: value.status });
    assert.deepEqual(strings, ["support"]);
    assert.ok(stringsReadFrom(bytes, (watched) => serde.decode(requests, watched)).includes("REQUEST BODY"), "the watch itself works");
  });

  it("reads what a newer version wrote: fields it does not know are skipped, symbols it does not know become other", async (t) => {
    const stub = await registryStub(t);
    const old = await writer(stub, [requests]);
    const now = avroOf(requests);
    const grown = JSON.parse(JSON.stringify(now).replace('"symbols":["call","mark","other"]', '"symbols":["call","mark","batch","other"]'));
    grown.fields.unshift({ name: "novelty", type: "string", default: "" });
    const id = stub.put(grown);
    const avro = (await import("avsc")).default;
    const body = avro.Type.forSchema(grown).toBuffer({ ...request(), kind: "batch", novelty: "x" });
    const bytes = Buffer.concat([Buffer.from([0, 0, 0, 0, id]), body]);
    assert.deepStrictEqual(await old.decode(requests, bytes), request({ kind: "other" }));
  });

  it("calls bytes bad that can never be read", async (t) => {
    const stub = await registryStub(t);
    let now = 0;
    const serde = await writer(stub, allTopics, () => now);
    const good = serde.encode(outcomes, outcome);
    await assert.rejects(async () => serde.decode(outcomes, Buffer.concat([Buffer.from([0, 0, 0, 0, 250]), good.subarray(5)])), RegistryUnreachableError);
    now = 10_000;
    const other = stub.put({ type: "record", name: "Foreign", fields: [{ name: "x", type: "int" }] });
    const json = stub.put({ type: "object" }, "JSON");
    const broken = stub.put({ type: "record", name: "Broken", fields: [{ name: "x", type: "nothing" }] });
    const withId = (id: number) => Buffer.concat([Buffer.from([0, 0, 0, 0, id]), good.subarray(5)]);
    const bad: [Buffer, RegExp][] = [
      [Buffer.alloc(0), /too few/],
      [Buffer.from([7, 0, 0, 0, 1, 2]), /starts with byte 7/],
      [good.subarray(0, good.length - 1), /cut short/],
      [Buffer.concat([good, Buffer.from([0])]), /1 bytes too many/],
      [withId(250), /does not know schema 250/],
      [withId(other), /cannot be read as Outcome/],
      [withId(json), /is JSON, not Avro/],
      [withId(broken), /not a usable Avro schema/],
    ];
    for (const [bytes, reason] of bad) {
      await assert.rejects(
        async () => serde.decode(outcomes, bytes),
        (error: unknown) => error instanceof BadRecordError && error.message.startsWith("outcomes: ") && reason.test(error.message),
        String(reason),
      );
    }
  });

  it("corrupt bytes of any kind are refused quickly, also where they claim arrays of billions", async (t) => {
    const serde = await writer(await registryStub(t), [partials]);
    const good = serde.encode(partials, { source: "requests", sourcePartition: 0, fromOffset: 0, toOffset: 1, watermarkMs: null, entries: [] });
    const hugeCount = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert.throws(() => serde.decode(partials, Buffer.concat([good.subarray(0, good.length - 1), hugeCount])), BadRecordError);
    assert.throws(() => serde.decode(partials, Buffer.concat([good.subarray(0, good.length - 1), hugeCount]), ["source"]), BadRecordError);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        try {
          assert.ok(serde.decode(partials, Buffer.concat([good.subarray(0, 5), noise])));
        } catch (error) {
          assert.ok(error instanceof BadRecordError, String(error));
        }
      }),
    );
  });

  it("checks what other systems write against the contract, beyond what Avro can say", async (t) => {
    const stub = await registryStub(t);
    const serde = await writer(stub, [outcomes]);
    const avro = (await import("avsc")).default;
    const body = avro.Type.forSchema(avroOf(outcomes) as never).toBuffer({ ...outcome, value: 7 });
    const bytes = Buffer.concat([serde.encode(outcomes, outcome).subarray(0, 5), body]);
    assert.throws(() => serde.decode(outcomes, bytes), /outcomes\.value: /);
    assert.deepStrictEqual(serde.decode(outcomes, bytes, ["token"]), { token: "t" });
  });

  it("says what to do when a schema was never applied", async (t) => {
    const stub = await registryStub(t);
    const serde = await Serde.connect(stub.url, "p.");
    await assert.rejects(serde.prepare([outcomes]), (error) => isKnown("TOPIC_MISSING")(error) && /p\.outcomes-value/.test((error as Error).message));
  });

  it("does not take a registry that is loading for one where nothing was applied, once it knows a schema of its own", async (t) => {
    const stub = await registryStub(t);
    const serde = await writer(stub, [outcomes]);
    stub.register(subjectOf("p.", requests), avroOf(requests));
    stub.mood = "loading";
    await assert.rejects(serde.prepare([requests]), isKnown("REGISTRY_UNREACHABLE"));
    stub.mood = "registry";
    await serde.prepare([requests]);
    assert.ok(serde.encode(requests, request()).length > 0);
  });

  it("says of a registry that hangs, or is not there, what is true for a process that starts and for one that runs", async (t) => {
    const stub = await registryStub(t);
    const serde = await writer(stub, [outcomes]);
    const bytes = serde.encode(outcomes, outcome);
    const told = (problem: RegExp) => (error: unknown) =>
      isKnown("REGISTRY_UNREACHABLE")(error) &&
      problem.test((error as KnownError).message) &&
      /see that it runs and answers, or correct SCHEMA_REGISTRY_URL; .*what has ended is to be started again$/.test((error as KnownError).fix);
    const made = AbortSignal.timeout.bind(AbortSignal);
    const allowed: number[] = [];
    // It hangs for real; only the wait for it is shorter.
    t.mock.method(AbortSignal, "timeout", (ms: number) => {
      allowed.push(ms);
      return made(50);
    });
    stub.mood = "silent";
    await assert.rejects(async () => (await Serde.connect(stub.url, "p.")).decode(outcomes, bytes), told(/did not answer: no answer within 10 s$/));
    assert.deepEqual(allowed, [10_000]);
    t.mock.restoreAll();
    stub.close();
    await assert.rejects(serde.prepare([requests]), told(/did not answer: /));
  });

  it("waits for a schema that a registry may not have loaded yet, which has ours of before; what is said for ten seconds is believed, of any", async (t) => {
    const stub = await registryStub(t);
    let now = 0;
    const serde = await writer(stub, [outcomes], () => now);
    stub.register(subjectOf("p.", requests), avroOf(requests));
    stub.loaded = 1;
    const prepared = serde.prepare([requests]);
    await until("it has been asked again", () => stub.asked.filter((asked) => asked.startsWith("POST /subjects/p.requests-value")).length > 3);
    now += 9_999;
    stub.loaded = 2;
    await prepared;
    assert.ok(serde.encode(requests, request()).length > 0);

    const missing = serde.prepare([partials]);
    await until("it has been asked again", () => stub.asked.filter((asked) => asked.startsWith("POST /subjects/p.partials-value")).length > 3);
    now += 10_000;
    await assert.rejects(missing, isKnown("TOPIC_MISSING"));
    await assert.rejects(serde.prepare([scores]), isKnown("TOPIC_MISSING"));
    stub.mood = "503";
    await assert.rejects(serde.prepare([scores]), isKnown("REGISTRY_UNREACHABLE"));
    stub.mood = "registry";
    stub.register(subjectOf("p.", scores), avroOf(scores));
    stub.loaded = 2;
    const again = serde.prepare([scores]);
    await until("it has been asked again", () => stub.asked.filter((asked) => asked.startsWith("POST /subjects/p.scores-value")).length > 5);
    stub.loaded = 3;
    await again;
  });

  it("keeps an outage apart from a bad record: no registry, a proxy's page, a registry that starts", async (t) => {
    const stub = await registryStub(t);
    const serde = await writer(stub, [outcomes]);
    const good = serde.encode(outcomes, outcome);
    for (const mood of ["proxy 404", "proxy 200", "503"] as const) {
      stub.mood = mood;
      const reader = await Serde.connect(stub.url, "p.");
      await assert.rejects(async () => reader.decode(outcomes, good), RegistryUnreachableError, mood);
      await assert.rejects(reader.prepare([outcomes]), isKnown("REGISTRY_UNREACHABLE"), mood);
    }
    stub.mood = "registry";
    const reader = await Serde.connect(stub.url, "p.");
    stub.close();
    await assert.rejects(async () => reader.decode(outcomes, good), RegistryUnreachableError);
    await assert.rejects(reader.prepare([outcomes]), isKnown("REGISTRY_UNREACHABLE"));
  });

  it("tells refused credentials from an outage, for whoever only starts: waiting helps nobody there", async (t) => {
    const stub = await registryStub(t);
    const log = pino({ level: "silent" });
    const serde = await Serde.connect(stub.url, "test.");
    stub.mood = "401";
    const refused = { code: "REGISTRY_UNREACHABLE", isRefused: true, message: /refused us/, fix: /user and password/ };
    await assert.rejects(serde.prepare([outcomes]), refused);
    await assert.rejects(serde.prepareWritten(outcomes), refused);
    const connecting = connectPatiently(() => serde.prepare([outcomes]), log, AbortSignal.timeout(5_000));
    await assert.rejects(connecting, refused);
  });

  it("does not believe a registry that has forgotten our own schemas: it is still loading them", async (t) => {
    const stub = await registryStub(t);
    const unseen = (await writer(stub, [requests])).encode(requests, request());
    const reader = await writer(stub, [outcomes]);
    stub.mood = "loading";
    await assert.rejects(async () => reader.decode(requests, unseen), RegistryUnreachableError);
    stub.mood = "registry";
    assert.deepStrictEqual(await reader.decode(requests, unseen), request());
  });

  it("takes no record for bad while the registry has no schema at all of its topic: somebody removed the subject", async (t) => {
    const stub = await registryStub(t);
    const reader = await writer(stub, [outcomes]);
    const bytes = reader.encode(outcomes, outcome);
    bytes.writeUInt32BE(0, 1);
    await new Registry(stub.url).deleteSubject(subjectOf("p.", outcomes));
    await assert.rejects(async () => reader.decode(outcomes, bytes), RegistryUnreachableError);
    await fetch(`${stub.url}/subjects/p.outcomes-value/versions`, { method: "POST", body: JSON.stringify({ schema: JSON.stringify(avroOf(outcomes)) }) });
    await assert.rejects(async () => reader.decode(outcomes, bytes), /does not know schema 0/);
  });

  it("believes at once that an id below its own or far above does not exist, but of the next ones, which may not be loaded yet, only what is said for ten seconds", async (t) => {
    const stub = await registryStub(t);
    let now = 0;
    stub.put({ type: "record", name: "Deleted", fields: [] });
    const reader = await writer(stub, [outcomes], () => now);
    const bytes = (id: number) => {
      const made = reader.encode(outcomes, outcome);
      made.writeUInt32BE(id, 1);
      return made;
    };
    const asked = (id: number) => async () => reader.decode(outcomes, bytes(id));
    for (const id of [0, 20_000, 2 ** 32 - 1]) await assert.rejects(asked(id), new RegExp(`does not know schema ${id}`), "ours are 2 and below");
    await assert.rejects(asked(4711), RegistryUnreachableError);
    now += 9_999;
    await assert.rejects(asked(4711), RegistryUnreachableError);
    now += 1;
    for (const id of [4711, 4712]) await assert.rejects(asked(id), new RegExp(`does not know schema ${id}`), "said for ten seconds, of any");
    for (const mood of ["loading", "503"] as const) {
      stub.mood = mood;
      now += 1_000;
      await assert.rejects(asked(4711), RegistryUnreachableError);
      stub.mood = "registry";
      await assert.rejects(asked(4711), RegistryUnreachableError, "it was away");
      now += 10_000;
      await assert.rejects(asked(4711), /does not know schema 4711/);
    }
  });

  it("asks once a second for an id that is not known: records of a foreign writer come by the thousand", async (t) => {
    const stub = await registryStub(t);
    let now = 0;
    const reader = await writer(stub, [outcomes], () => now);
    const bytes = reader.encode(outcomes, outcome);
    bytes.writeUInt32BE(20_000, 1);
    const before = stub.asked.length;
    for (let i = 0; i < 100; i++) await assert.rejects(async () => reader.decode(outcomes, bytes), /does not know schema 20000/);
    const once = stub.asked.length - before;
    assert.ok(once <= 3, `${once} requests for a hundred records`);
    now += 1_000;
    await assert.rejects(async () => reader.decode(outcomes, bytes), /does not know schema 20000/);
    assert.equal(stub.asked.length - before, 2 * once);
  });

  it("goes on during an outage with what it knows, and with the rest after it", async (t) => {
    const stub = await registryStub(t);
    const serde = await writer(stub, [outcomes, requests]);
    const bytes = serde.encode(outcomes, outcome);
    const reader = await Serde.connect(stub.url, "p.");
    assert.deepStrictEqual(await reader.decode(outcomes, bytes), outcome);
    stub.mood = "503";
    assert.deepStrictEqual(reader.decode(outcomes, bytes), outcome);
    assert.deepStrictEqual(serde.decode(outcomes, serde.encode(outcomes, outcome)), outcome);
    const unseen = serde.encode(requests, request());
    await assert.rejects(async () => reader.decode(requests, unseen), RegistryUnreachableError);
    stub.mood = "registry";
    assert.deepStrictEqual(await reader.decode(requests, unseen), request());
  });

  it("asks the registry once for a schema that many records wait for", async (t) => {
    const stub = await registryStub(t);
    const serde = await writer(stub, [outcomes]);
    const bytes = serde.encode(outcomes, outcome);
    const reader = await Serde.connect(stub.url, "p.");
    stub.asked.length = 0;
    await Promise.all(Array.from({ length: 20 }, () => reader.decode(outcomes, bytes)));
    assert.equal(stub.asked.length, 1);
  });
});
