import { z } from "zod";
import { KnownError } from "../../errors/known-error.ts";

/** Environment of the control role. */
export const controlConfiguration = z.object({
  HEADGATE_CONTROL_HOST: z
    .string()
    .default("127.0.0.1")
    .describe("address that the control API binds; other than loopback only with HEADGATE_CONTROL_TOKEN_FILE"),
  HEADGATE_CONTROL_PORT: z.coerce.number().int().min(0).max(65_535).default(7070).describe("port of the control API; 0: any free port"),
  HEADGATE_CONTROL_TOKEN_FILE: z
    .string()
    .min(1)
    .optional()
    .describe("file with the bearer tokens that the control API accepts, one a line, at least 16 characters each; without it the API is open on loopback"),
});

const shortestToken = 16;

/** True for addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Refuses to open the API to a network without a token: whoever reaches it moves production traffic. */
export function checkExposure(host: string, tokenFile: string | undefined): void {
  if (isLoopback(host) || tokenFile !== undefined) return;
  throw new KnownError("CONFIG_INVALID", `control cannot start: HEADGATE_CONTROL_HOST ${host} is not a loopback address and no token is configured`, {
    fix: "set HEADGATE_CONTROL_TOKEN_FILE to a file with a bearer token, or bind 127.0.0.1",
  });
}

/**
 * Tokens of a token file: one a line; empty lines and lines from `#` are skipped.
 * @throws {KnownError} CONFIG_INVALID when there is none or one is too short to be a secret; never quotes one
 */
export function parseTokens(text: string): string[] {
  const tokens = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (tokens.length > 0 && tokens.every((token) => token.length >= shortestToken)) return tokens;
  throw new KnownError("CONFIG_INVALID", `the file of HEADGATE_CONTROL_TOKEN_FILE holds ${tokens.length === 0 ? "no token" : "a token that is too short"}`, {
    fix: `write one token a line, at least ${shortestToken} characters each, for example from: openssl rand -base64 32`,
  });
}
