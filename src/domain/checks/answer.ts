/** What a call answered, as far as checks need it. */
export interface Answer {
  /** Text of the assistant's message; null when there is none (tool calls only, a refusal, or a body that is not an answer). */
  readonly text: string | null;
  readonly toolCalls: boolean;
}

const nothing: Answer = { text: null, toolCalls: false };

type JsonObject = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is JsonObject => typeof value === "object" && value !== null && !Array.isArray(value);
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** Text of a message's content: a string, or the text parts of a list joined; null when there is no text at all. */
function textOf(content: unknown): string | null {
  if (typeof content === "string") return content;
  const texts = listOf(content).flatMap((part) => (isObject(part) && typeof part.text === "string" ? [part.text] : []));
  return texts.length === 0 ? null : texts.join("");
}

/** `output` of the Responses API: messages hold content parts, everything that ends in `_call` is a tool call. */
function answerOfOutput(output: readonly unknown[]): Answer {
  const items = output.filter(isObject);
  const texts = items.flatMap((item) => (item.type === "message" ? [textOf(item.content)] : [])).filter((text) => text !== null);
  return { text: texts.length === 0 ? null : texts.join(""), toolCalls: items.some((item) => String(item.type).endsWith("_call")) };
}

/**
 * The answer in the body of a chat completion (first choice) or of a response of the Responses API. Never throws: whatever
 * is not such a body has no text.
 */
export function answerOf(responseBody: string): Answer {
  let body: unknown;
  try {
    body = JSON.parse(responseBody);
  } catch {
    return nothing;
  }
  if (!isObject(body)) return nothing;
  if (Array.isArray(body.output)) return answerOfOutput(body.output);
  const choice = listOf(body.choices)[0];
  if (!isObject(choice)) return nothing;
  if (!isObject(choice.message)) return { text: typeof choice.text === "string" ? choice.text : null, toolCalls: false };
  const { content, tool_calls: toolCalls, function_call: functionCall } = choice.message;
  return { text: textOf(content), toolCalls: listOf(toolCalls).length > 0 || isObject(functionCall) };
}
