import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import avro from "avsc";
import fc from "fast-check";
import { z } from "zod";
import { type AvroRecord, type AvroType, avroOf, projected } from "../../topics/avro.ts";
import { defineTopic, openEnum } from "../../topics/define.ts";
import { generatedFiles, staleFiles } from "../../topics/generate.ts";
import { allTopics, gateEvents, type Topic } from "../../topics/index.ts";
import { valuesOf } from "./arbitraries.ts";

const topicWith = (name: string, shape: z.ZodObject): Topic =>
  defineTopic({ name, about: "", shape, key: "route", partitions: 1, retention: { cleanup: "delete" }, writers: [], readers: [] });

const committed = (topic: Topic): AvroRecord => JSON.parse(readFileSync(new URL(`../../topics/avro/${topic.name}.avsc`, import.meta.url), "utf8"));
const typeOf = (schema: AvroRecord): avro.Type => avro.Type.forSchema(schema as avro.Schema);
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

/** Every record and enum of a schema, the schema itself included. */
function named(type: AvroType): (AvroRecord | { type: "enum"; name: string; symbols: readonly string[]; default: string })[] {
  if (typeof type === "string") return [];
  if (!("type" in type)) return type.flatMap(named);
  if (type.type === "array") return named(type.items);
  return type.type === "enum" ? [type] : [type, ...type.fields.flatMap((field) => named(field.type))];
}

describe("Avro schemas of the contracts", () => {
  it("are committed as generated, with AsyncAPI and the JSON Schema of specs", () => {
    assert.deepEqual(staleFiles(), [], "run `npm run generate`");
    assert.equal(generatedFiles().size, allTopics.length + 2);
  });

  for (const topic of allTopics) {
    it(`${topic.name}: every field has a default, every enum falls back to other, every name is defined once`, () => {
      const types = named(committed(topic));
      for (const type of types) {
        if (type.type === "enum") assert.equal(type.default, "other", type.name);
        else for (const field of type.fields) assert.ok("default" in field, `${type.name}.${field.name}`);
      }
      assert.equal(new Set(types.map(({ name }) => name)).size, types.length);
    });

    it(`${topic.name}: the record that consists of defaults is valid`, () => {
      const reader = typeOf(committed(topic));
      const empty = typeOf({ ...committed(topic), fields: [] });
      const value = plain(reader.fromBuffer(Buffer.alloc(0), reader.createResolver(empty)));
      assert.ok(topic.shape.safeParse(value).success);
    });

    it(`${topic.name}: any valid value survives Avro`, () => {
      const type = typeOf(committed(topic));
      fc.assert(
        fc.property(valuesOf(topic), (value) => {
          assert.ok(topic.shape.safeParse(value).success);
          assert.equal(JSON.stringify(type.fromBuffer(type.toBuffer(value))), JSON.stringify(type.clone(value)));
        }),
        { numRuns: 30 },
      );
    });

    it(`${topic.name}: a field may come or go, read by old and new alike (FULL_TRANSITIVE)`, () => {
      const now = committed(topic);
      const fewer = { ...now, fields: now.fields.slice(1) };
      const first = projected(
        now,
        now.fields.slice(1).map((field) => field.name),
      );
      const more = { ...now, fields: [...now.fields, { name: "added", type: "string", default: "new" }] };
      assert.equal(first.fields.length, fewer.fields.length);
      const [value] = fc.sample(valuesOf(topic), { numRuns: 1, seed: 7 });
      for (const [writer, reader] of [
        [now, first],
        [first, now],
        [now, more],
        [more, now],
        [more, first],
        [first, more],
      ] as const) {
        const [from, to] = [typeOf(writer), typeOf(reader)];
        const read = plain(to.fromBuffer(from.toBuffer(value), to.createResolver(from))) as Record<string, unknown>;
        for (const { name, default: whenAbsent } of reader.fields) {
          const isWritten = writer.fields.some((field) => field.name === name);
          const expected = name === "added" ? "new" : isWritten ? value?.[name] : whenAbsent;
          assert.deepEqual(read[name], plain(expected), `${name} of ${topic.name}`);
        }
      }
    });
  }

  it("a symbol that a reader does not know yet becomes other", () => {
    const now = typeOf(avroOf(topicWith("things", z.object({ kind: openEnum("a", "b") }))));
    const later = typeOf(avroOf(topicWith("things-later", z.object({ kind: openEnum("a", "b", "c") }))));
    const renamed = JSON.parse(JSON.stringify(later.schema({ exportAttrs: true })).replaceAll("ThingsLater", "Thing")) as AvroRecord;
    const writer = typeOf(renamed);
    assert.equal(now.fromBuffer(writer.toBuffer({ kind: "c" }), now.createResolver(writer)).kind, "other");
  });

  it("refuse, naming the field, a zod type without a mapping, an enum that cannot grow and a default that zod rejects", () => {
    assert.throws(() => avroOf(topicWith("t1", z.object({ a: z.object({ b: z.date() }) }))), /t1\.a\.b: zod type "date" has no Avro mapping/);
    assert.throws(() => avroOf(topicWith("t2", z.object({ a: z.array(z.enum(["x"])) }))), /t2\.a\[\]: an enum needs the symbol "other"/);
    assert.throws(() => avroOf(topicWith("t3", z.object({ a: z.string().min(1) }))), /t3\.a: the Avro default "" does not fit/);
    assert.throws(() => avroOf(topicWith("t4", z.object({ a: z.object({ b: openEnum("x") }), aB: z.object({}) }))), /t4\.aB: the Avro name T4AB is taken/);
  });

  it("a projection defines what it refers to, also when the definition stood in a field that is left out", () => {
    const part = projected(avroOf(gateEvents), ["toPhase", "arm"]);
    assert.deepEqual(
      part.fields.map((field) => field.name),
      ["toPhase", "arm"],
    );
    const whole = typeOf(avroOf(gateEvents));
    const reader = typeOf(part);
    const [value] = fc.sample(valuesOf(gateEvents), { numRuns: 1, seed: 3 });
    const read = reader.fromBuffer(whole.toBuffer(value), reader.createResolver(whole));
    assert.deepEqual({ ...read }, { toPhase: value?.toPhase, arm: value?.arm });
    assert.throws(() => projected(avroOf(gateEvents), ["nonsense"]), /has no field nonsense/);
  });
});

describe("AsyncAPI", () => {
  const document = JSON.parse(readFileSync(new URL("../../topics/asyncapi.json", import.meta.url), "utf8"));

  it("every reference points at something", () => {
    const references: string[] = [];
    JSON.stringify(document, (key, value) => {
      if (key === "$ref") references.push(value);
      return value;
    });
    for (const reference of references) {
      const target = reference
        .slice(2)
        .split("/")
        .reduce((node, part) => node?.[part], document);
      assert.ok(target !== undefined, reference);
    }
    assert.ok(references.length > allTopics.length * 3);
  });

  it("names a sender and a receiver for every channel, and CloudEvents headers for gate events only", () => {
    for (const topic of allTopics) {
      const actions = Object.values<{ action: string; channel: { $ref: string } }>(document.operations).filter(({ channel }) =>
        channel.$ref.endsWith(`/${topic.name}`),
      );
      assert.deepEqual([...new Set(actions.map(({ action }) => action))].sort(), ["receive", "send"], topic.name);
      assert.equal("headers" in document.components.messages[avroOf(topic).name], topic.name === "gate-events", topic.name);
    }
  });
});
