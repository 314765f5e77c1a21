import { z } from "zod";
import type { CallerConfig } from "./callers.ts";

const hash = z
  .string()
  .regex(/^(?:sha256:)?[0-9a-f]{64}$/, "must be the SHA-256 of a key in 64 hex digits, as `headgate caller key` prints it; never the key itself")
  .transform((text) => text.replace("sha256:", ""));

const caller = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "must have 1 to 64 letters, digits and . _ -")
    .describe("shown in records and in the access log"),
  keyHash: hash.describe("SHA-256 of the caller's key; `headgate caller key` makes both"),
  routes: z.array(z.string().min(1)).optional().describe("routes that it may call; absent: all"),
  ratePerMinute: z.number().min(0.1).max(10_000_000).optional().describe("calls a minute at this gateway; absent: unlimited"),
  mayPin: z.boolean().default(false).describe("whether it may choose a version by x-headgate-pin"),
});

/** Who may call: absent, everybody. */
export const callers = z
  .array(caller)
  .min(1)
  .superRefine((list, context) => {
    for (const field of ["name", "keyHash"] as const) {
      const seen = new Set<string>();
      list.forEach((each, i) => {
        if (seen.has(each[field])) context.addIssue({ code: "custom", path: [i, field], message: "is that of another caller too" });
        seen.add(each[field]);
      });
    }
  })
  .optional()
  .describe("callers that are let in, by the hashes of their keys; absent: everybody, and keys are not looked at");

/** Who may choose a version for a test call, beside callers with `mayPin`. */
export const pins = z.strictObject({ secretHash: hash.describe("SHA-256 of the secret that x-headgate-pin-secret must carry") }).optional();

/** Callers as the gateway uses them; null: everybody may call. */
export function callersOf(given: z.output<typeof callers>): readonly CallerConfig[] | null {
  if (given === undefined) return null;
  return given.map(({ routes, ratePerMinute, ...each }) => ({ ...each, routes: routes ?? null, ratePerMinute: ratePerMinute ?? null }));
}
