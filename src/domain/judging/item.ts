import { answerOf } from "../checks/answer.ts";
import type { Rubric } from "./rubric.ts";

/** What is judged, as the judge sees it: nothing in it says which arm or version it comes from. */
export interface Item {
  /** Text of the last user message. */
  readonly prompt: string;
  readonly context?: string;
  /** Text of the assistant's message, or its tool calls as JSON. */
  readonly answer: string;
  /** A correct result, when the caller gave one. */
  readonly reference?: string;
}

export type ItemResult = { readonly kind: "item"; readonly item: Item } | { readonly kind: "nothing"; readonly problem: string };

type JsonObject = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is JsonObject => typeof value === "object" && value !== null && !Array.isArray(value);
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

interface Message {
  readonly role: string;
  readonly text: string;
}

/**
 * The item in the bodies of a call (chat completions, Responses API, legacy completions).
 *
 * @param request null when bodies are not logged
 * @returns `nothing` when there is no prompt or no answer to judge
 */
export function itemOf(
  request: string | null,
  response: string | null,
  about: { readonly context: Rubric["context"]; readonly reference: string | null },
): ItemResult {
  if (request === null || response === null) return { kind: "nothing", problem: "the bodies of the call are not logged" };
  const messages = messagesOf(parsed(request));
  const last = messages.findLastIndex(({ role }) => role === "user");
  const prompt = messages[last]?.text;
  if (prompt === undefined) return { kind: "nothing", problem: "the request holds no user message" };
  const answer = answerText(response);
  if (answer === null) return { kind: "nothing", problem: "the response holds no answer" };
  const context = contextText(messages, last, about.context);
  return {
    kind: "item",
    item: {
      prompt,
      ...(context === "" ? {} : { context }),
      answer,
      ...(about.reference === null ? {} : { reference: about.reference }),
    },
  };
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** Text of a message's content: a string, or the text parts of a list joined. */
function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  const texts = listOf(content).flatMap((part) => (isObject(part) && typeof part.text === "string" ? [part.text] : []));
  return texts.join("\n");
}

function messageOf(value: unknown): Message[] {
  if (typeof value === "string") return [{ role: "user", text: value }];
  if (!isObject(value)) return [];
  if (typeof value.role === "string") {
    const calls = listOf(value.tool_calls).length > 0 ? JSON.stringify(value.tool_calls) : "";
    return [{ role: value.role, text: [textOf(value.content), calls].filter((text) => text !== "").join("\n") }];
  }
  // Items of the Responses API without a role: tool calls, and what tools returned.
  if (typeof value.type === "string" && value.type.endsWith("_output")) return [{ role: "tool", text: textOf(value.output) }];
  return typeof value.type === "string" && value.type.endsWith("_call") ? [{ role: "assistant", text: JSON.stringify(value) }] : [];
}

function messagesOf(body: unknown): readonly Message[] {
  if (!isObject(body)) return [];
  if (Array.isArray(body.messages)) return body.messages.flatMap(messageOf);
  const instructions = typeof body.instructions === "string" ? [{ role: "system", text: body.instructions }] : [];
  // Of several prompts in one legacy completion the first choice, which is judged, answers the first.
  const input = body.input ?? (Array.isArray(body.prompt) ? body.prompt.slice(0, 1) : body.prompt);
  return [...instructions, ...(typeof input === "string" ? messageOf(input) : listOf(input).flatMap(messageOf))];
}

const isSystem = ({ role }: Message) => role === "system" || role === "developer";

function contextText(messages: readonly Message[], last: number, wanted: Rubric["context"]): string {
  if (wanted === "none") return "";
  if (wanted === "system")
    return messages
      .filter(isSystem)
      .map(({ text }) => text)
      .join("\n");
  return messages
    .filter((_, i) => i !== last)
    .map(({ role, text }) => `[${role}] ${text}`)
    .join("\n");
}

/** The answer's text; its tool calls as JSON when it has no text; null when it has neither. */
function answerText(response: string): string | null {
  const { text, toolCalls } = answerOf(response);
  if (!toolCalls) return text;
  const body = parsed(response);
  if (!isObject(body)) return text;
  const choice = listOf(body.choices)[0];
  const message = isObject(choice) && isObject(choice.message) ? choice.message : {};
  const calls = Array.isArray(body.output)
    ? body.output.filter((item) => isObject(item) && String(item.type).endsWith("_call"))
    : (message.tool_calls ?? message.function_call);
  return [text ?? "", JSON.stringify(calls)].filter((part) => part !== "").join("\n");
}
