import { isJsonObject, type JsonObject } from "./merge-parameters.ts";

/** What a text must be like. */
export type TextTest =
  | { readonly kind: "present" }
  | { readonly kind: "equals"; readonly text: string }
  | { readonly kind: "matches"; readonly pattern: RegExp };

/** One thing that must be true of a call. */
export type SliceCondition =
  | { readonly kind: "tokens"; readonly from: number; readonly below: number }
  | { readonly kind: "header"; readonly name: string; readonly test: TextTest }
  | { readonly kind: "field"; readonly path: readonly (string | number)[]; readonly test: TextTest };

/** A named subset of traffic: the calls of which all conditions are true. */
export interface SliceRule {
  readonly name: string;
  /** Routes that it holds for; null: all. */
  readonly routes: readonly string[] | null;
  readonly when: readonly SliceCondition[];
}

/** A call as far as slices may depend on it: only what was asked, so that both arms are sliced alike, also where one of them fails. */
export interface SlicedCall {
  readonly route: string;
  readonly request: JsonObject;
  /** Value of a header, by its name in lower case. */
  readonly header: (name: string) => string | undefined;
}

/** Characters of a text that a pattern sees: the bound of its steps is taken for this length. */
export const PATTERN_CHARS = 4_096;
const CHARS_PER_TOKEN = 4;
const DEEPEST = 64;

/**
 * Reads a path such as `metadata.domain` or `messages[-1].content`; an index below 0 counts from the end.
 *
 * @returns null when it is none
 */
export function parsePath(path: string): readonly (string | number)[] | null {
  if (!/^[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*|\[-?\d{1,6}\])*$/.test(path)) return null;
  return [...path.matchAll(/([A-Za-z_][\w-]*)|\[(-?\d+)\]/g)].map(([, name, index]) => name ?? Number(index));
}

function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  let at = value;
  for (const part of path) {
    if (typeof part === "number") at = Array.isArray(at) ? at.at(part) : undefined;
    else at = isJsonObject(at) && Object.hasOwn(at, part) ? at[part] : undefined;
  }
  return at;
}

/** A field as text: content parts are joined; what is no text, number or truth value is none. */
function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (!Array.isArray(value)) return undefined;
  const texts = value.flatMap((part: unknown) => (isJsonObject(part) && typeof part.text === "string" ? [part.text] : []));
  return texts.length === 0 ? undefined : texts.join("\n");
}

/** Parts of a message, and what lies in them, that hold data and no text. */
const MEDIA: ReadonlySet<unknown> = new Set([
  ...["audio", "input_audio", "output_audio", "file", "input_file", "document", "image", "image_url", "input_image", "image_generation_call"],
  ...["video", "input_video", "video_url", "base64"],
]);
const DATA: ReadonlySet<string> = new Set(["data", "file_data", "result"]);
const dataUrl = /^data:[^,\s]{0,256};base64,/i;

/**
 * Characters of all texts in a value; data of images, sound and files is no text.
 *
 * @param media whether the value lies in a part of a message that is an image, sound or a file
 */
function charsIn(value: unknown, media = false, depth = 0): number {
  if (typeof value === "string") return dataUrl.test(value) ? 0 : value.length;
  if (depth > DEEPEST || typeof value !== "object" || value === null) return 0;
  if (Array.isArray(value)) return value.reduce<number>((sum, each) => sum + charsIn(each, media, depth + 1), 0);
  const { type } = value as JsonObject;
  const isMedia = typeof type === "string" ? MEDIA.has(type) : media;
  let sum = 0;
  for (const [name, each] of Object.entries(value)) if (!(isMedia && DATA.has(name))) sum += charsIn(each, isMedia, depth + 1);
  return sum;
}

/** Numbers in lists within each other: a prompt that is given as token ids, or several such. */
function idsIn(value: unknown, depth = 0): number {
  if (depth > DEEPEST || !Array.isArray(value)) return 0;
  return value.reduce<number>((sum, each) => sum + (typeof each === "number" ? 1 : idsIn(each, depth + 1)), 0);
}

/**
 * Input tokens of a request, as far as it shows them before it is answered: a quarter of the characters of its prompt, and one for each token id. What an
 * upstream counts is not used: it differs between models, and calls that fail have no count, so that slices would differ between arms.
 */
export function estimatedTokens({ messages, input, prompt, instructions, tools }: JsonObject): number {
  const chars = [messages, input, prompt, instructions, tools].reduce<number>((sum, part) => sum + charsIn(part), 0);
  return Math.ceil(chars / CHARS_PER_TOKEN) + idsIn(input) + idsIn(prompt);
}

function passes(test: TextTest, text: string | undefined): boolean {
  if (text === undefined) return false;
  if (test.kind === "equals") return text === test.text;
  return test.kind === "present" || test.pattern.test(text.slice(0, PATTERN_CHARS));
}

/** The slices that rules put a call into, in the order of the rules. */
export function slicesByRules(rules: readonly SliceRule[], call: SlicedCall): string[] {
  let tokens: number | null = null;
  const holds = (condition: SliceCondition): boolean => {
    switch (condition.kind) {
      case "tokens":
        tokens ??= estimatedTokens(call.request);
        return tokens >= condition.from && tokens < condition.below;
      case "header":
        return passes(condition.test, call.header(condition.name));
      case "field":
        return passes(condition.test, textOf(valueAt(call.request, condition.path)));
    }
  };
  return rules.filter(({ routes, when }) => (routes === null || routes.includes(call.route)) && when.every(holds)).map(({ name }) => name);
}
