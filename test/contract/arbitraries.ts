import fc from "fast-check";
import type { z } from "zod";
import type { Topic } from "../../topics/index.ts";

/** Arbitrary valid values of a topic, derived from its zod shape, so that a new field is covered without a change here. */
export function valuesOf(topic: Topic): fc.Arbitrary<Record<string, unknown>> {
  return arbitraryOf(topic.shape) as fc.Arbitrary<Record<string, unknown>>;
}

function arbitraryOf(type: z.ZodType): fc.Arbitrary<unknown> {
  const { def } = (type as unknown as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case "string":
      return fc.string({ unit: "grapheme", maxLength: 20 });
    case "boolean":
      return fc.boolean();
    case "number":
      return numbersOf(type as z.ZodNumber);
    case "enum":
      return fc.constantFrom(...Object.values(def.entries));
    case "nullable":
      return fc.option(arbitraryOf(def.innerType as z.ZodType), { nil: null });
    case "array":
      return fc.array(arbitraryOf(def.element as z.ZodType), { maxLength: 4 });
    case "object":
      return fc.record(Object.fromEntries(Object.entries((type as z.ZodObject).shape).map(([name, field]) => [name, arbitraryOf(field as z.ZodType)])), {
        noNullPrototype: true,
      });
    default:
      throw new Error(`no arbitrary for zod type ${def.type}`);
  }
}

function numbersOf(type: z.ZodNumber): fc.Arbitrary<number> {
  const min = finite(type.minValue, -Number.MAX_VALUE);
  const max = finite(type.maxValue, Number.MAX_VALUE);
  if (type.format === "safeint") return fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max));
  return fc.double({ min, max, noNaN: true, noDefaultInfinity: true });
}

/** zod says infinity where there is no bound, and yet refuses it as a value. */
function finite(bound: number | null, otherwise: number): number {
  return bound === null || !Number.isFinite(bound) ? otherwise : bound;
}
