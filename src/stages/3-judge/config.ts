import { z } from "zod";

/** A decimal number in an environment variable; an empty text is no number. */
const number = () => z.string().trim().min(1).pipe(z.coerce.number());
const wholeMs = (fallback: number) => z.coerce.number().int().min(1).default(fallback);

/** Environment variables of the judge. */
export const configuration = z.object({
  HEADGATE_JUDGE_BASE_URL: z
    .url({ protocol: /^https?$/ })
    .default("https://api.openai.com/v1")
    .describe("Base URL of the OpenAI-compatible endpoint that judges."),
  HEADGATE_JUDGE_API_KEY: z.string().min(1).default("none").describe("Key of that endpoint; not needed by endpoints that take none."),
  HEADGATE_JUDGE_MODEL: z.string().min(1).describe("Model that judges; best of another family than the models under test."),
  HEADGATE_JUDGE_TEMPERATURE: number().pipe(z.number().min(0).max(2)).optional().describe("Temperature; not sent when absent, since some models refuse it."),
  HEADGATE_JUDGE_SEED: number().pipe(z.int()).optional().describe("Seed; not sent when absent."),
  HEADGATE_JUDGE_MAX_TOKENS: number().pipe(z.int().min(1)).optional().describe("Most tokens of a verdict, reasoning included; not sent when absent."),
  HEADGATE_JUDGE_CONCURRENCY: z.coerce.number().int().min(1).max(1000).default(16).describe("Calls to the judge under way at a time in this process."),
  HEADGATE_JUDGE_TIMEOUT_MS: wholeMs(30_000).describe("Longest wait for one verdict, ms."),
  HEADGATE_JUDGE_DEADLINE_MS: wholeMs(120_000).describe(
    "Longest time spent on one item over all its attempts, ms; waiting for an endpoint that is down does not count.",
  ),
  HEADGATE_JUDGE_RUBRIC_WAIT_MS: wholeMs(10_000).describe("Longest wait for the text of a rubric that is not in the catalog yet, ms."),
  HEADGATE_JUDGE_CACHE: z.enum(["0", "1"]).default("1").describe("1: an item that this process has judged before is not asked again; 0: every item is asked."),
  HEADGATE_JUDGE_PRICE_INPUT_PER_MTOK: number()
    .pipe(z.number().min(0))
    .optional()
    .describe("Price of the judge in USD per million input tokens; with both prices, scores carry their cost."),
  HEADGATE_JUDGE_PRICE_OUTPUT_PER_MTOK: number().pipe(z.number().min(0)).optional().describe("Price of the judge in USD per million output tokens."),
});
export type JudgeConfig = z.output<typeof configuration>;
