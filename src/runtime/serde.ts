import type { Schema, Type } from "avsc";
import avro from "avsc";
import type { z } from "zod";
import { type AvroRecord, avroOf, projected } from "../../topics/avro.ts";
import type { Topic, ValueOf } from "../../topics/index.ts";
import { KnownError } from "../errors/known-error.ts";
import { pause } from "./deps.ts";
import { notLoaded, Registry } from "./registry.ts";
import { steadyNowMs } from "./steady-clock.ts";

/** The bytes of a record cannot become a value of its topic, now or later: for the dead-letter topic (rule 7). */
export class BadRecordError extends Error {
  override readonly name = "BadRecordError";
  constructor(topic: string, problem: string, cause?: unknown) {
    super(`${topic}: ${problem}`, { cause });
  }
}

/** The registry says that there is no schema of the record's id. */
export class UnknownSchemaError extends BadRecordError {
  readonly id: number;
  constructor(topic: string, id: number) {
    super(topic, `the registry does not know schema ${id}`);
    this.id = id;
  }
}

/** Confluent wire format: a zero byte, the schema id as four bytes, the Avro body. */
const magic = 0;
const headerBytes = 5;

/** Bodies larger than this get a buffer of their own; smaller ones share one. */
const scratchBytes = 1024 * 1024;

/**
 * So long it is not believed that an id above our own newest does not exist, or that a schema of ours does not which is not known yet, ms. A registry loads
 * schemas in the order in which they were registered, so that one of a newer release, or of what was applied last, comes after those that it has. In a topic that anybody may write to, the id may as well be noise, for which a task may not wait for long,
 * and not at all where it is farther away than what others can have registered in between.
 */
const DOUBT_MS = 10_000;
const DOUBT_IDS = 10_000;
/** So long a registry is not asked again for an id of a topic that it does not know, ms: records of one foreign writer come by the thousand. */
const BELIEVE_MS = 1_000;
const MOST_UNKNOWN = 1_000;
/** How often a registry is asked again meanwhile, ms. */
const ASK_AGAIN_MS = 500;

/** How records of one topic are read that were written with one schema. */
interface Reader {
  readonly type: Type;
  readonly resolver: ReturnType<Type["createResolver"]> | undefined;
  /** Set where others than headgate's own roles write: what they send is checked against the contract, not only against Avro. */
  readonly check: z.ZodObject | undefined;
}

/**
 * Turns values into records and back: zod, then Avro, in Confluent wire format, with schemas of the registry. Ids and
 * schemas that were fetched once stay in memory, so that an outage of the registry stops nothing that already runs.
 */
export class Serde {
  readonly #registry: Registry;
  readonly #prefix: string;
  readonly #own = new Map<string, { readonly id: number; readonly type: Type }>();
  /** Writers' types by id; a string says why a schema cannot be used. */
  readonly #writers = new Map<number, Type | string>();
  readonly #fetching = new Map<number, Promise<void>>();
  readonly #readers = new Map<string, Reader>();
  readonly #nowMs: () => number;
  /** When the registry first denied an id that may be of a newer release, as far as it has not been seen away since. */
  #deniedSinceMs: number | null = null;
  /** Since when, and when last, the registry said that it does not have a schema of ours. */
  #missing: { readonly sinceMs: number; lastMs: number } | null = null;
  /** By topic and id, until when it is believed that there is no such schema. */
  readonly #unknown = new Map<string, number>();
  #scratch = Buffer.allocUnsafe(64 * 1024);

  private constructor(registry: Registry, prefix: string, nowMs: () => number) {
    this.#registry = registry;
    this.#prefix = prefix;
    this.#nowMs = nowMs;
  }

  /**
   * @param prefix of topics and subjects, for example `headgate.`
   * @param nowMs any clock that does not go back, ms
   */
  static async connect(registryUrl: string, prefix: string, nowMs: () => number = steadyNowMs): Promise<Serde> {
    return new Serde(new Registry(registryUrl), prefix, nowMs);
  }

  /**
   * Looks up the ids of our own schemas of these topics; needed before `encode`. Ids that are known are not asked for again. One that is missing while
   * others of ours are there is asked for again for ten seconds: the registry may be loading.
   * @throws {KnownError} TOPIC_MISSING when a schema was never registered under this prefix; REGISTRY_UNREACHABLE, also while it denies
   * a schema that is known from before
   */
  async prepare(topics: readonly Topic[]): Promise<void> {
    await this.#prepare(topics, false);
  }

  /** @param isWritten there are records of these topics, so that one version or another of their schemas was applied */
  async #prepare(topics: readonly Topic[], isWritten: boolean): Promise<void> {
    await Promise.all(
      topics.map(async (topic) => {
        if (this.#own.has(topic.name)) return;
        const id = await this.#idOf(topic, isWritten);
        const type = avroType(avroOf(topic));
        this.#writers.set(id, type);
        this.#own.set(topic.name, { id, type });
      }),
    );
  }

  async #idOf(topic: Topic, isWritten: boolean): Promise<number> {
    const subject = subjectOf(this.#prefix, topic);
    do {
      let id = await this.#idIn(subject, topic);
      if (id === null) {
        await this.#mustHaveLoaded();
        // It may have been loading when it was asked.
        id = await this.#idIn(subject, topic);
      }
      if (id !== null) return id;
    } while (await this.#mayBeLoading(isWritten));
    throw new KnownError("TOPIC_MISSING", `the schema registry does not have this version's schema of ${this.#prefix}${topic.name} (subject ${subject})`, {
      fix: "run `headgate topics apply` with this version of headgate and this prefix",
    });
  }

  async #idIn(subject: string, topic: Topic): Promise<number | null> {
    try {
      const id = await this.#registry.idOf(subject, avroOf(topic));
      if (id !== null) this.#missing = null;
      return id;
    } catch (error) {
      this.#missing = null;
      throw error;
    }
  }

  /** Whether a schema of ours that it denies may be one that it has not loaded yet, after a pause then. Where it has none of ours nothing was applied. */
  async #mayBeLoading(isWritten: boolean): Promise<boolean> {
    if (!isWritten && this.#newestOwn === 0) return false;
    const nowMs = this.#nowMs();
    if (this.#missing === null || nowMs - this.#missing.lastMs > DOUBT_MS) this.#missing = { sinceMs: nowMs, lastMs: nowMs };
    this.#missing.lastMs = nowMs;
    if (nowMs - this.#missing.sinceMs >= DOUBT_MS) return false;
    await pause(ASK_AGAIN_MS);
    return true;
  }

  /**
   * The same for a topic that has records, before any schema is known: they were written with one, so a registry that has none at all of this topic is
   * still loading.
   * @throws {KnownError} as `prepare`
   */
  async prepareWritten(topic: Topic): Promise<void> {
    const subject = subjectOf(this.#prefix, topic);
    if (!(await this.#registry.hasSubject(subject))) throw notLoaded(this.#registry.url, subject);
    await this.#prepare([topic], true);
  }

  /** @throws {KnownError} RECORD_INVALID naming topic and field, never the value */
  encode<T extends Topic>(topic: T, value: ValueOf<T>): Buffer {
    const own = this.#own.get(topic.name);
    if (own === undefined) throw new Error(`Serde.prepare was not called for ${topic.name}`);
    const checked = topic.shape.safeParse(value);
    if (!checked.success) throw recordInvalid(problemOf(topic, checked.error));
    try {
      return this.#write(own.type, own.id, value);
    } catch (error) {
      throw recordInvalid(`${topic.name} cannot be written as Avro`, error);
    }
  }

  /**
   * Reads a record, whoever wrote it with whatever version of the schema: unknown fields are skipped, missing ones get
   * their default, unknown enum symbols become `other`.
   *
   * @param fields top-level fields that are wanted; the others are skipped and absent from the value
   * @returns the value; a promise of it when the writer's schema must be fetched first
   * @throws {BadRecordError} (or rejects with it) when these bytes can never be read
   * @throws {RegistryUnreachableError} only by rejecting: worth another try, the record may be good. For ten seconds also for a schema that the
   * registry denies and that could be of a newer release
   */
  decode(topic: Topic, bytes: Buffer, fields?: readonly string[]): unknown | Promise<unknown> {
    if (bytes.length < headerBytes) throw new BadRecordError(topic.name, `${bytes.length} bytes are too few for a record`);
    if (bytes[0] !== magic) throw new BadRecordError(topic.name, `starts with byte ${bytes[0]}, not with 0 as records in Confluent wire format do`);
    const id = bytes.readUInt32BE(1);
    const writer = this.#writers.get(id);
    if (writer === undefined) return this.#fetch(topic, id).then(() => this.decode(topic, bytes, fields));
    if (typeof writer === "string") throw new BadRecordError(topic.name, `schema ${id} ${writer}`);
    const reader = this.#readerOf(topic, id, writer, fields);
    const value = readBody(topic, reader, bytes);
    if (reader.check === undefined) return value;
    const checked = reader.check.safeParse(value);
    if (!checked.success) throw new BadRecordError(topic.name, problemOf(topic, checked.error));
    return value;
  }

  #write(type: Type, id: number, value: unknown): Buffer {
    let buffer = this.#scratch;
    let end = type.encode(value, buffer, headerBytes);
    if (end < 0) {
      // A negative end is how many bytes were missing.
      buffer = Buffer.allocUnsafe(buffer.length - end);
      if (buffer.length <= scratchBytes) this.#scratch = buffer;
      end = type.encode(value, buffer, headerBytes);
    }
    buffer[0] = magic;
    buffer.writeUInt32BE(id, 1);
    return Buffer.from(buffer.subarray(0, end));
  }

  #fetch(topic: Topic, id: number): Promise<void> {
    const running = this.#fetching.get(id);
    if (running !== undefined) return running;
    const started = this.#fetchNow(topic, id).finally(() => this.#fetching.delete(id));
    this.#fetching.set(id, started);
    return started;
  }

  async #fetchNow(topic: Topic, id: number): Promise<void> {
    const place = `${topic.name}/${id}`;
    if ((this.#unknown.get(place) ?? Number.NEGATIVE_INFINITY) > this.#nowMs()) throw new UnknownSchemaError(topic.name, id);
    const schema = await this.#schemaOf(id);
    if (schema === null) {
      const denied = await this.#denied(topic, id);
      if (denied instanceof UnknownSchemaError) this.#believe(place);
      throw denied;
    }
    this.#writers.set(id, typeof schema === "string" ? schema : usableType(schema));
  }

  #believe(place: string): void {
    if (this.#unknown.size >= MOST_UNKNOWN) this.#unknown.clear();
    this.#unknown.set(place, this.#nowMs() + BELIEVE_MS);
  }

  async #schemaOf(id: number): Promise<object | string | null> {
    try {
      return await this.#registry.schemaOf(id);
    } catch (error) {
      this.#deniedSinceMs = null;
      throw error;
    }
  }

  async #denied(topic: Topic, id: number): Promise<Error> {
    await this.#mustHaveLoaded();
    const newest = this.#newestOwn;
    if (newest > 0 && id > newest && id <= newest + DOUBT_IDS) {
      this.#deniedSinceMs ??= this.#nowMs();
      if (this.#nowMs() - this.#deniedSinceMs < DOUBT_MS) return notLoaded(this.#registry.url, id);
    }
    // A topic has records before its subject only where somebody removed it: then none of them is bad.
    const subject = subjectOf(this.#prefix, topic);
    return (await this.#registry.hasSubject(subject)) ? new UnknownSchemaError(topic.name, id) : notLoaded(this.#registry.url, subject);
  }

  /** 0: none is known. */
  get #newestOwn(): number {
    return Math.max(0, ...[...this.#own.values()].map((own) => own.id));
  }

  /** Only a registry that knows what it must know, our own newest schema, is believed that another does not exist. @throws {RegistryUnreachableError} */
  async #mustHaveLoaded(): Promise<void> {
    const newest = this.#newestOwn;
    if (newest === 0 || (await this.#schemaOf(newest)) !== null) return;
    this.#deniedSinceMs = null;
    this.#missing = null;
    throw notLoaded(this.#registry.url, newest);
  }

  #readerOf(topic: Topic, id: number, writer: Type, fields: readonly string[] | undefined): Reader {
    const key = `${topic.name}/${id}/${fields?.join() ?? "*"}`;
    const known = this.#readers.get(key);
    if (known !== undefined) return known;
    const reader = makeReader(topic, id, writer, fields);
    this.#readers.set(key, reader);
    return reader;
  }
}

/** Registry subject of a topic's values: Confluent's default naming, so that other tools find it. */
export function subjectOf(prefix: string, topic: Topic): string {
  return `${prefix}${topic.name}-value`;
}

function usableType(schema: object): Type | string {
  try {
    return avroType(schema);
  } catch (error) {
    return `is not a usable Avro schema (${messageOf(error)})`;
  }
}

function makeReader(topic: Topic, id: number, writer: Type, fields: readonly string[] | undefined): Reader {
  const schema = avroOf(topic);
  const type = avroType(fields === undefined ? schema : projected(schema, fields));
  const shape = fields === undefined ? topic.shape : topic.shape.pick(Object.fromEntries(fields.map((field) => [field, true])) as never);
  const check = isWrittenByOthers(topic) ? shape : undefined;
  try {
    return { type, resolver: type.createResolver(writer), check };
  } catch (error) {
    throw new BadRecordError(topic.name, `schema ${id} cannot be read as ${schema.name} (${messageOf(error)})`, error);
  }
}

function readBody(topic: Topic, reader: Reader, bytes: Buffer): unknown {
  let read: { value: unknown; offset: number };
  try {
    read = reader.type.decode(bytes, headerBytes, reader.resolver);
  } catch (error) {
    throw new BadRecordError(topic.name, `the bytes do not fit their schema (${messageOf(error)})`, error);
  }
  if (read.offset !== bytes.length) {
    throw new BadRecordError(topic.name, read.offset < 0 ? "is cut short" : `has ${bytes.length - read.offset} bytes too many`);
  }
  return read.value;
}

/** Our own roles validate before they write; checking again would cost on each read what it cost on the write. */
function isWrittenByOthers(topic: Topic): boolean {
  return topic.writers.some((writer) => writer === "any system" || writer === "cli");
}

/** Names field and rule; zod's messages hold no values, which may be bodies or subjects. */
function problemOf(topic: Topic, error: z.ZodError): string {
  const [first] = error.issues;
  const path = [topic.name, ...(first?.path ?? [])].join(".");
  const more = error.issues.length > 1 ? ` (and ${error.issues.length - 1} more)` : "";
  return `${path}: ${first?.message ?? "is not valid"}${more}`;
}

function recordInvalid(problem: string, cause?: unknown): KnownError {
  return new KnownError("RECORD_INVALID", problem, { fix: "correct what produces the record; its contract is in topics/", cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

interface Tap {
  readonly buf: Buffer;
  pos: number;
  readLong(): number;
  skipLong(): void;
}

/** avsc's array, made safe against corrupt lengths: it would try to fill an array of any length that the bytes claim. */
class BoundedArray extends avro.types.ArrayType {
  _read(tap: Tap): unknown[] {
    const items = (this as unknown as { itemsType: { _read(tap: Tap): unknown } }).itemsType;
    const values: unknown[] = [];
    for (let n = blockLength(tap); n > 0; n = blockLength(tap)) {
      for (; n > 0; n--) values.push(items._read(tap));
    }
    return values;
  }

  _skip(tap: Tap): void {
    const items = (this as unknown as { itemsType: { _skip(tap: Tap): void } }).itemsType;
    for (let n = blockLength(tap); n > 0; n = blockLength(tap)) {
      for (; n > 0; n--) items._skip(tap);
    }
  }
}

/** Every item of ours takes a byte at least, so a block with more items than bytes left is corrupt. */
function blockLength(tap: Tap): number {
  let n = tap.readLong();
  if (n < 0) {
    n = -n;
    tap.skipLong();
  }
  if (n > tap.buf.length - tap.pos) throw new Error("an array claims more items than there are bytes");
  return n;
}

/** An avsc type whose records are plain objects, as everybody but avsc expects them. */
function avroType(schema: AvroRecord | object): Type {
  const registry: Record<string, Type> = {};
  const type = avro.Type.forSchema(schema as Schema, {
    registry,
    omitRecordMethods: true,
    typeHook: (part, options) => {
      const isArray = typeof part === "object" && "type" in part && part.type === "array";
      return isArray ? new (BoundedArray as unknown as new (schema: unknown, options: unknown) => Type)(part, options) : undefined;
    },
  });
  for (const named of Object.values(registry)) {
    // avsc makes records with constructors of its own; with this prototype they compare and print like literals.
    if (named instanceof avro.types.RecordType) named.recordConstructor.prototype = Object.prototype;
  }
  return type;
}
