import type { z } from "zod";
import type { Topic } from "./define.ts";
import { allTopics } from "./index.ts";

/** An Avro schema, as far as contracts use Avro; a string is a primitive or the name of a type defined before it. */
export type AvroType = string | readonly AvroType[] | AvroArray | AvroEnum | AvroRecord;
interface AvroArray {
  readonly type: "array";
  readonly items: AvroType;
}
interface AvroEnum {
  readonly type: "enum";
  readonly name: string;
  readonly symbols: readonly string[];
  readonly default: string;
}
export interface AvroField {
  readonly name: string;
  readonly doc?: string;
  readonly type: AvroType;
  readonly default: unknown;
}
export interface AvroRecord {
  readonly type: "record";
  readonly name: string;
  readonly namespace?: string;
  readonly doc?: string;
  readonly fields: readonly AvroField[];
}

/** What a zod type becomes, with the value that a reader fills in where a writer does not know the field. */
interface Mapped {
  readonly type: AvroType;
  readonly default: unknown;
}

/** Types that one schema has named so far: Avro defines a name once and refers to it from then on. */
type Names = Map<unknown, string>;

const cache = new Map<string, AvroRecord>();

/**
 * The Avro record of a topic's values, derived from its zod shape: `int` is `long`, other numbers `double`, nullable a
 * union with null. Every field has a default and every enum falls back to `other`, so that a field or symbol may come
 * and go under FULL_TRANSITIVE. Types are named by the path to their first use, and used again where they are identical.
 *
 * @throws {Error} naming topic and field, for a zod type that has no mapping, or whose default value zod itself rejects
 */
export function avroOf(topic: Topic): AvroRecord {
  const known = cache.get(topic.name);
  if (known !== undefined) return known;
  const name = recordName(topic.name);
  const { fields } = mapObject(topic.shape, name, topic.name, new Map()).type as AvroRecord;
  const schema: AvroRecord = { type: "record", name, namespace: "headgate", doc: topic.about, fields };
  cache.set(topic.name, schema);
  return schema;
}

/** The reader's schema of a consumer that needs only these top-level fields; what is left out is skipped, never decoded. */
export function projected(schema: AvroRecord, fields: readonly string[]): AvroRecord {
  const definitions = new Map<string, AvroType>();
  collectDefinitions(schema, definitions);
  const unknown = fields.find((name) => !schema.fields.some((field) => field.name === name));
  if (unknown !== undefined) throw new Error(`${schema.name} has no field ${unknown} to project to`);
  const defined = new Set<string>();
  const kept = schema.fields.filter((field) => fields.includes(field.name));
  return { ...schema, fields: kept.map((field) => ({ ...field, type: withDefinitions(field.type, definitions, defined) })) };
}

/** `gate-events` becomes `GateEvent`: the record is one of what the topic holds many of. */
function recordName(topicName: string): string {
  return pascal(topicName).replace(/s$/, "");
}

function pascal(words: string): string {
  return words
    .split(/[^A-Za-z0-9]+/)
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("");
}

function mapType(type: z.ZodType, name: string, path: string, names: Names): Mapped {
  const mapped = mapDefinition(type, name, path, names);
  if (!type.safeParse(mapped.default).success) throw new Error(`${path}: the Avro default ${JSON.stringify(mapped.default)} does not fit the zod type`);
  return mapped;
}

function mapDefinition(type: z.ZodType, name: string, path: string, names: Names): Mapped {
  const { def } = (type as unknown as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case "string":
      return { type: "string", default: "" };
    case "boolean":
      return { type: "boolean", default: false };
    case "number":
      return { type: "format" in def && def.format === "safeint" ? "long" : "double", default: 0 };
    case "nullable":
      return { type: ["null", mapType(def.innerType as z.ZodType, name, path, names).type], default: null };
    case "array":
      return { type: { type: "array", items: mapType(def.element as z.ZodType, name, `${path}[]`, names).type }, default: [] };
    case "enum":
      return mapEnum(Object.values(def.entries).map(String), name, path, names);
    case "object":
      return mapObject(type as z.ZodObject, name, path, names);
    default:
      throw new Error(`${path}: zod type "${def.type}" has no Avro mapping (topics/avro.ts)`);
  }
}

function mapEnum(symbols: readonly string[], name: string, path: string, names: Names): Mapped {
  if (!symbols.includes("other")) throw new Error(`${path}: an enum needs the symbol "other", so that it can grow (use openEnum)`);
  const identity = symbols.join("|");
  const known = names.get(identity);
  if (known !== undefined) return { type: known, default: "other" };
  claim(names, identity, name, path);
  return { type: { type: "enum", name, symbols, default: "other" }, default: "other" };
}

function mapObject(object: z.ZodObject, name: string, path: string, names: Names): Mapped {
  const fields: AvroField[] = [];
  const defaults: Record<string, unknown> = {};
  // `describe` copies the type but keeps its definition: the definition is what makes two records identical.
  const identity = object._zod.def;
  const known = names.get(identity);
  if (known === undefined) claim(names, identity, name, path);
  for (const [field, type] of Object.entries(object.shape as Record<string, z.ZodType>)) {
    const mapped = mapType(type, name + pascal(field), `${path}.${field}`, names);
    defaults[field] = mapped.default;
    fields.push({ name: field, ...(type.description === undefined ? {} : { doc: type.description }), type: mapped.type, default: mapped.default });
  }
  return { type: known ?? { type: "record", name, fields }, default: defaults };
}

function claim(names: Names, identity: unknown, name: string, path: string): void {
  if ([...names.values()].includes(name)) throw new Error(`${path}: the Avro name ${name} is taken by another type of the same schema`);
  names.set(identity, name);
}

function collectDefinitions(type: AvroType, into: Map<string, AvroType>): void {
  if (typeof type === "string") return;
  if (isUnion(type)) {
    for (const branch of type) collectDefinitions(branch, into);
  } else if (type.type === "array") {
    collectDefinitions(type.items, into);
  } else {
    into.set(type.name, type);
    if (type.type === "record") for (const field of type.fields) collectDefinitions(field.type, into);
  }
}

/** The same type, with each reference whose definition was left out replaced by that definition. */
function withDefinitions(type: AvroType, definitions: ReadonlyMap<string, AvroType>, defined: Set<string>): AvroType {
  if (typeof type === "string") {
    const definition = definitions.get(type);
    return definition === undefined || defined.has(type) ? type : withDefinitions(definition, definitions, defined);
  }
  if (isUnion(type)) return type.map((branch) => withDefinitions(branch, definitions, defined));
  if (type.type === "array") return { ...type, items: withDefinitions(type.items, definitions, defined) };
  defined.add(type.name);
  if (type.type === "enum") return type;
  return { ...type, fields: type.fields.map((field) => ({ ...field, type: withDefinitions(field.type, definitions, defined) })) };
}

function isUnion(type: AvroType): type is readonly AvroType[] {
  return Array.isArray(type);
}

// A contract that Avro cannot express stops every process that imports it, not the first record that needs it.
for (const topic of allTopics) avroOf(topic);
