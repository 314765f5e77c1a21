import { z } from "zod";

/** Shorter ones can be guessed by trying. */
const LEAST_LETTERS = 16;

const keysOf = (text: string): string[] =>
  text
    .split(/[,\s]+/)
    .map((key) => key.trim())
    .filter((key) => key !== "");

/**
 * `HEADGATE_TOKEN_KEY` of the gateways, which seal outcome tokens, and of the aggregators, which open them. Parsed to a list: the first key
 * seals, all open, so that a key can be replaced without a call's outcome being lost.
 */
export const tokenKeys = z
  .string()
  .transform(keysOf)
  .refine((keys) => keys.length > 0 && keys.every((key) => key.length >= LEAST_LETTERS), `each key must have at least ${LEAST_LETTERS} characters`)
  .optional()
  .describe(
    "Secret that seals outcome tokens, 32 random characters or more, the same on gateways and aggregators; several, separated by commas or line breaks: the first seals, all are accepted. Without it there are no outcome tokens.",
  );
