import { isJsonObject } from "../../../domain/routing/merge-parameters.ts";

/** What a model makes beside its messages and the calls of its tools, all of which end in `_call`. */
const MADE: ReadonlySet<unknown> = new Set(["reasoning", "mcp_list_tools", "mcp_approval_request", "program", "compaction"]);

/** An item of an earlier answer that the upstream has stored; its type may be left out. */
export function isReference(item: unknown): boolean {
  if (!isJsonObject(item)) return false;
  const { type, id, role } = item;
  return type === "item_reference" || ((type === undefined || type === null) && role === undefined && typeof id === "string");
}

function isMadeByModel(item: unknown): boolean {
  if (!isJsonObject(item)) return false;
  const { type, role } = item;
  return role === "assistant" || MADE.has(type) || (typeof type === "string" && type.endsWith("_call")) || isReference(item);
}

/**
 * Answers of the model that the input of a response holds. One answer is many items (reasoning, calls of tools, messages): what the model made in a row, with
 * nothing of the caller in between, is one.
 */
export function answersIn(input: unknown): number {
  if (!Array.isArray(input)) return 0;
  let answers = 0;
  let isAnswer = false;
  for (const item of input as readonly unknown[]) {
    const isMade = isMadeByModel(item);
    if (isMade && !isAnswer) answers++;
    isAnswer = isMade;
  }
  return answers;
}
