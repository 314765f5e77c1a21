import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";
import type { Price } from "../upstream-config.ts";

/** What an answer says about itself. */
export interface Answer {
  readonly finishReason: string;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  /** Cost in USD as the upstream reports it. */
  readonly reportedCostUsd: number | null;
}

export const noAnswer: Answer = { finishReason: "", inputTokens: null, outputTokens: null, reportedCostUsd: null };

const tokens = (value: unknown): number | null => (typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null);
const amount = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null);

/** Why a response of the Responses API ended: what cut it, else its status. */
function statusReason(body: JsonObject): string {
  const { incomplete_details: incomplete, status } = body;
  if (isJsonObject(incomplete) && typeof incomplete.reason === "string") return incomplete.reason;
  return typeof status === "string" ? status : "";
}

/** Reads finish reason, token counts and cost out of an answer, under the names of completions or of the responses API. */
export function answerOf(body: JsonObject): Answer {
  const usage = isJsonObject(body.usage) ? body.usage : {};
  const first: unknown = Array.isArray(body.choices) ? body.choices[0] : undefined;
  const chosen = isJsonObject(first) && typeof first.finish_reason === "string" ? first.finish_reason : "";
  return {
    finishReason: body.object === "response" ? statusReason(body) : chosen,
    inputTokens: tokens(usage.prompt_tokens) ?? tokens(usage.input_tokens),
    outputTokens: tokens(usage.completion_tokens) ?? tokens(usage.output_tokens),
    reportedCostUsd: amount(usage.cost),
  };
}

/** Cost of a call in USD: what the upstream reports, else its tokens at the configured price, else unknown. */
export function costOf(answer: Answer, price: Price | undefined): number | null {
  if (answer.reportedCostUsd !== null) return answer.reportedCostUsd;
  if (price === undefined || answer.inputTokens === null || answer.outputTokens === null) return null;
  return (answer.inputTokens * price.inputPerMillion + answer.outputTokens * price.outputPerMillion) / 1_000_000;
}
