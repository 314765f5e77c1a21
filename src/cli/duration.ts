import { KnownError } from "../errors/known-error.ts";

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A duration as people write it: `30s`, `1.5h`.
 * @returns ms
 * @throws {KnownError} REQUEST_INVALID
 */
export function parseDuration(text: string, option: string): number {
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? [];
  if (amount !== "") return Number(amount) * units[unit as keyof typeof units];
  throw new KnownError("REQUEST_INVALID", `${option} ${text} is not a duration`, { fix: "write a number with ms, s, m, h or d, for example 30s" });
}

/** How long ago, in one unit: `45s`, `31m`, `2h`, `3d`. */
export function showAge(ms: number): string {
  if (ms < 60_000) return `${Math.max(0, Math.round(ms / 1_000))}s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)}m`;
  if (ms < 2 * 86_400_000) return `${Math.floor(ms / 3_600_000)}h`;
  return `${Math.floor(ms / 86_400_000)}d`;
}
