import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";

/** Characters of a text that tell one from another. */
const MOST_CHARS = 1_024;

/** The text of a message's content, which may be in parts, or of the first part that has one. */
export function textOfContent(content: unknown): string | undefined {
  const parts: readonly unknown[] = Array.isArray(content) ? content : [content];
  const text = parts.map((part) => (isJsonObject(part) ? part.text : part)).find((part) => typeof part === "string");
  return typeof text === "string" ? text.slice(0, MOST_CHARS) : undefined;
}

const filled = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

/** What tells an answer of a model from others: the id of the call of a tool, which its history keeps, else its text. */
function markOf(item: unknown): string | undefined {
  if (!isJsonObject(item) || (item.role !== undefined && item.role !== "assistant") || item.type === "reasoning") return undefined;
  const { tool_calls: calls, call_id: id, content } = item;
  const first: unknown = Array.isArray(calls) ? calls[0] : undefined;
  return filled(id) ?? filled(isJsonObject(first) ? first.id : undefined) ?? filled(textOfContent(content)?.trim());
}

function firstMark(items: unknown): string | null {
  if (!Array.isArray(items)) return null;
  for (const item of items as readonly unknown[]) {
    const mark = markOf(item);
    if (mark !== undefined) return mark;
  }
  return null;
}

/** What tells the first answer that a request's history holds from others; null when it holds none that can be told. */
export function firstAnswerIn({ messages, input }: JsonObject): string | null {
  return firstMark(Array.isArray(messages) ? messages : input);
}

/** The same of an answer itself. @param body its text, of a chat completion or a response */
export function firstAnswerOf(body: string | null): string | null {
  if (body === null) return null;
  try {
    const value: unknown = JSON.parse(body);
    if (!isJsonObject(value)) return null;
    const { choices, output } = value;
    return firstMark(Array.isArray(choices) ? choices.slice(0, 1).map((choice: unknown) => (isJsonObject(choice) ? choice.message : null)) : output);
  } catch {
    return null;
  }
}
