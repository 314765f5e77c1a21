import { z } from "zod";

/** Environment variables of the prober. */
export const configuration = z.object({
  HEADGATE_PROBER_GATEWAY_URL: z
    .url({ protocol: /^https?$/ })
    .describe("base URL of the gateway that golden prompts are sent through, for example http://127.0.0.1:8080/v1"),
  HEADGATE_PROBER_CALLS_PER_HOUR: z.coerce
    .number()
    .int()
    .min(1)
    .default(1_000)
    .describe("golden calls of all routes together in an hour; runs beyond it are left out"),
  HEADGATE_PROBER_TIMEOUT_MS: z.coerce.number().int().min(100).default(30_000).describe("longest wait for one answer, ms; none in time counts as failed"),
});
