import { z } from "zod";
import type { Rubric } from "../../domain/judging/rubric.ts";
import { type Answers, criterionAnswers } from "../../domain/judging/verdict.ts";
import type { Form } from "./model-client.ts";

/** What a judge wrote about one signal. */
export interface SignalAnswer {
  readonly reasoning: string;
  /** Per criterion id. */
  readonly criteria: Answers;
}

/** The form that a judge fills in for a rubric, as it goes over the wire and as it is read back. */
export interface VerdictForm {
  readonly form: Form;
  /** Reads a filled form, per signal; a text that does not fit is named by the places that do not, never by its content. */
  read(text: string): ReadVerdict;
}

export type ReadVerdict =
  | { readonly kind: "verdict"; readonly signals: Readonly<Record<string, SignalAnswer>> }
  | { readonly kind: "unparsable"; readonly problem: string };

/** Building one takes a millisecond, reading with it two microseconds; rubrics are few and live as long as the process. */
const known = new WeakMap<Rubric, VerdictForm>();

/**
 * The form of a rubric: one object per signal, in which evidence and reasoning come before the answers, since what is
 * written first is thought first.
 */
export function verdictForm(rubric: Rubric): VerdictForm {
  const made = known.get(rubric) ?? make(rubric);
  known.set(rubric, made);
  return made;
}

function make(rubric: Rubric): VerdictForm {
  const signals = rubric.signals.map(({ name, criteria }) => {
    const answers = z.strictObject(Object.fromEntries(criteria.map(({ id }) => [id, z.enum(criterionAnswers)])));
    return [name, z.strictObject({ evidence: z.string(), reasoning: z.string(), criteria: answers })] as const;
  });
  const shape = z.strictObject(Object.fromEntries(signals));
  const { $schema: _, ...schema } = z.toJSONSchema(shape, { reused: "inline" });
  return { form: { name: "verdict", schema }, read: (text) => read(text, shape) };
}

function read(text: string, shape: z.ZodType<Readonly<Record<string, SignalAnswer>>>): ReadVerdict {
  let value: unknown;
  try {
    value = JSON.parse(unfenced(text));
  } catch {
    return { kind: "unparsable", problem: "the verdict is not JSON" };
  }
  const result = shape.safeParse(value);
  if (result.success) return { kind: "verdict", signals: result.data };
  const where = [...new Set(result.error.issues.map(({ path }) => path.join(".")))].slice(0, 3).join(", ");
  return { kind: "unparsable", problem: `the verdict does not fit its form (${where === "" ? "the whole" : where})` };
}

/** Some judges put their JSON into a markdown fence, whatever they were asked for. */
function unfenced(text: string): string {
  return /^\s*```(?:json)?\s*\n([\s\S]*?)\n\s*```\s*$/.exec(text)?.[1] ?? text;
}
