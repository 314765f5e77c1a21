import OpenAI, { APIConnectionError, APIError, APIUserAbortError } from "openai";
import type { JudgePrompt } from "../../domain/judging/prompt.ts";
import { retryAfterMs } from "../../domain/judging/retry-delay.ts";
import type { JudgeConfig } from "./config.ts";

/** How one call ended. */
export type CallOutcome =
  | { readonly kind: "answered"; readonly text: string; readonly costUsd: number | null }
  /** The judge wrote something, but not what was asked for, or not to its end. */
  | { readonly kind: "unparsable"; readonly problem: string; readonly costUsd: number | null }
  /** The judge, or the filter before it, will not judge this item. */
  | { readonly kind: "refused"; readonly problem: string; readonly costUsd: number | null }
  | { readonly kind: "too_long"; readonly problem: string }
  /** The endpoint will never take this request. */
  | { readonly kind: "rejected"; readonly problem: string }
  /** Rate limit: not an outage, but come back later. */
  | { readonly kind: "busy"; readonly retryAfterMs: number | null }
  /** No usable answer: network, timeout, 5xx; or key, model or address are wrong, which waits for a person. */
  | { readonly kind: "outage"; readonly problem: string; readonly isConfiguration: boolean }
  | { readonly kind: "aborted" };

export interface Form {
  readonly name: string;
  /** JSON Schema in the subset of strict mode. */
  readonly schema: Record<string, unknown>;
}

/** Asks the judge model once. */
export type AskOnce = (prompt: JudgePrompt, form: Form, signal: AbortSignal) => Promise<CallOutcome>;

/** The judge behind an OpenAI-compatible endpoint. Retries and waiting are ours: the SDK's are off. */
export function modelClient(config: JudgeConfig, now: () => number): AskOnce {
  const client = new OpenAI({
    baseURL: config.HEADGATE_JUDGE_BASE_URL,
    apiKey: config.HEADGATE_JUDGE_API_KEY,
    organization: null,
    project: null,
    maxRetries: 0,
    // Ours below covers reading the body too; this one only must not come first.
    timeout: config.HEADGATE_JUDGE_TIMEOUT_MS + 60_000,
    logLevel: "off",
  });
  return async (prompt, form, signal) => {
    const aborting = new AbortController();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      aborting.abort();
    }, config.HEADGATE_JUDGE_TIMEOUT_MS);
    const onAbort = () => aborting.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const completion = await client.chat.completions.create(requestOf(config, prompt, form), { signal: aborting.signal });
      return readCompletion(completion, config);
    } catch (error) {
      if (signal.aborted) return { kind: "aborted" };
      if (isLate) return { kind: "outage", problem: `no verdict within ${config.HEADGATE_JUDGE_TIMEOUT_MS} ms`, isConfiguration: false };
      return outcomeOfError(error, now());
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  };
}

function requestOf(config: JudgeConfig, prompt: JudgePrompt, form: Form): OpenAI.ChatCompletionCreateParamsNonStreaming {
  const { HEADGATE_JUDGE_TEMPERATURE: temperature, HEADGATE_JUDGE_SEED: seed, HEADGATE_JUDGE_MAX_TOKENS: maxTokens } = config;
  return {
    model: config.HEADGATE_JUDGE_MODEL,
    messages: [
      { role: "system", content: prompt.system },
      { role: "user", content: prompt.user },
    ],
    response_format: { type: "json_schema", json_schema: { name: form.name, strict: true, schema: form.schema } },
    ...(temperature === undefined ? {} : { temperature }),
    ...(seed === undefined ? {} : { seed }),
    ...(maxTokens === undefined ? {} : { max_completion_tokens: maxTokens }),
  };
}

function readCompletion(completion: OpenAI.ChatCompletion | undefined, config: JudgeConfig): CallOutcome {
  // Endpoints that are only said to be compatible may leave anything out.
  const choice = completion?.choices?.[0];
  const costUsd = costOf(completion?.usage, config);
  if (choice === undefined || choice.message === undefined) return { kind: "unparsable", problem: "the endpoint answered without a choice", costUsd };
  if (choice.message.refusal) return { kind: "refused", problem: "the judge refused", costUsd };
  if (choice.finish_reason === "content_filter") return { kind: "refused", problem: "a content filter stopped the judge", costUsd };
  if (choice.finish_reason === "length") return { kind: "unparsable", problem: "the verdict was cut at the limit of tokens", costUsd };
  const text = choice.message.content;
  return typeof text === "string" ? { kind: "answered", text, costUsd } : { kind: "unparsable", problem: "the verdict has no text", costUsd };
}

function costOf(usage: OpenAI.CompletionUsage | undefined, config: JudgeConfig): number | null {
  const { HEADGATE_JUDGE_PRICE_INPUT_PER_MTOK: input, HEADGATE_JUDGE_PRICE_OUTPUT_PER_MTOK: output } = config;
  if (usage === undefined || usage === null || input === undefined || output === undefined) return null;
  const cost = (usage.prompt_tokens * input + usage.completion_tokens * output) / 1e6;
  return Number.isFinite(cost) ? cost : null;
}

const tooLongCodes = new Set(["context_length_exceeded", "string_above_max_length", "request_too_large"]);
const filterCodes = new Set(["content_filter", "content_policy_violation", "responsibleaipolicyviolation"]);

/** Bodies of errors may quote the item, so only status and code go on. */
function outcomeOfError(error: unknown, nowMs: number): CallOutcome {
  if (error instanceof APIConnectionError) return { kind: "outage", problem: `no connection: ${rootOf(error)}`, isConfiguration: false };
  if (error instanceof APIUserAbortError) return { kind: "aborted" };
  if (!(error instanceof APIError) || error.status === undefined) {
    // A body that is no JSON, or a connection that broke in the middle of one.
    return { kind: "outage", problem: `the answer could not be read (${error instanceof Error ? error.name : "unknown error"})`, isConfiguration: false };
  }
  const { status } = error;
  const code = String(error.code ?? "").toLowerCase();
  const problem = `the endpoint answered ${status}${/^[a-z0-9_.-]{1,60}$/.test(code) ? ` (${code})` : ""}`;
  if (status === 429 && code !== "insufficient_quota") return { kind: "busy", retryAfterMs: retryAfterOf(error, nowMs) };
  if (status === 413 || tooLongCodes.has(code)) return { kind: "too_long", problem };
  if (filterCodes.has(code)) return { kind: "refused", problem, costUsd: null };
  if (status === 401 || status === 403 || status === 404 || status === 429) return { kind: "outage", problem, isConfiguration: true };
  if (status >= 500 || status === 408 || status === 409 || status === 425) return { kind: "outage", problem, isConfiguration: false };
  return { kind: "rejected", problem };
}

function retryAfterOf(error: APIError, nowMs: number): number | null {
  const precise = Number.parseFloat(error.headers?.get("retry-after-ms") ?? "");
  return precise >= 0 ? Math.min(precise, 120_000) : retryAfterMs(error.headers?.get("retry-after"), nowMs);
}

/** Code of the innermost cause, such as ECONNREFUSED. */
function rootOf(error: unknown): string {
  let root = error;
  for (let depth = 0; depth < 6 && root instanceof Error && root.cause !== undefined; depth++) root = root.cause;
  const code = (root as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : root instanceof Error ? root.name : "unknown";
}
