import { z } from "zod";

/** How long and how a topic keeps its records. Times in milliseconds. */
export interface Retention {
  readonly cleanup: "delete" | "compact" | "compact,delete";
  /** `retention.ms`; absent for topics that are only compacted. */
  readonly retentionMs?: number;
}

/**
 * The contract of one topic: its name (without the configurable prefix), the zod shape that is the source of its Avro
 * schema, and how it is keyed, partitioned and kept. Producer, consumer, registry and `headgate topics` all read it.
 */
export interface Topic<Shape extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  /** One sentence: what a record is, who writes it. Becomes the Avro and AsyncAPI documentation. */
  readonly about: string;
  readonly shape: Shape;
  /** Which field, or what, the record key is; for people and for AsyncAPI. */
  readonly key: "subject" | "token" | "route" | "route and series" | "route partition" | "instance" | "digest" | "original key";
  /**
   * Default partition count. `routes` stands for the one count that all topics keyed by route share, since one task
   * joins partition p of all of them.
   */
  readonly partitions: number | "routes";
  readonly retention: Retention;
  /** Broker-side timestamps: `append` for topics whose watermark rule (DESIGN.md section 4) or whose readers need the append time. */
  readonly timestamps?: "append";
  /** Largest record in bytes (`max.message.bytes`); default 1 MiB. */
  readonly maxBytes?: number;
  readonly writers: readonly string[];
  readonly readers: readonly string[];
}

/** The value type of a topic. */
export type ValueOf<T extends Topic> = z.output<T["shape"]>;

/** Declares a topic; only here so that the shape's type is kept. */
export function defineTopic<Shape extends z.ZodObject>(topic: Topic<Shape>): Topic<Shape> {
  return topic;
}

/**
 * An enum that may grow. `other` is its last symbol and its Avro default: a reader with an older schema sees `other`
 * for a symbol that it does not know, instead of failing (schemas are registered at FULL_TRANSITIVE).
 */
export function openEnum<const Symbols extends readonly [string, ...string[]]>(...symbols: Symbols) {
  return z.enum([...symbols, "other"] as unknown as [...Symbols, "other"]);
}

/** 2^52: beyond it avsc 5.7.7 writes some negative longs as positive ones, because it doubles them as floating point. */
const exact = 2 ** 52;
/** A whole number that fits a double exactly; an Avro `long`. */
export const int = () => z.int().min(-exact).max(exact);
/** Epoch milliseconds. */
export const atMs = () => z.int().min(0).max(exact);
/** A count, never negative. */
export const count = () => z.int().min(0).max(exact);
/** A share in parts per million, 0 to 1,000,000: integer, so that every machine draws the same sample. */
export const ppm = () => z.int().min(0).max(1_000_000);
/** A field that may be absent: Avro union with null, default null. */
export const maybe = <T extends z.ZodType>(type: T) => type.nullable();

export const days = (n: number) => n * 24 * 60 * 60 * 1000;
