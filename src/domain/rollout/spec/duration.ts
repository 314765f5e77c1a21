const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Milliseconds of a duration as people write it: `500ms`, `30s`, `15m`, `72h`, `7d`, or whole milliseconds.
 *
 * @throws {RangeError} when the text has another form; the spec's schema has refused it before
 */
export function durationMs(duration: string | number): number {
  if (typeof duration === "number") return duration;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration);
  if (match === null) throw new RangeError(`not a duration: ${duration}`);
  return Math.round(Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? Number.NaN));
}

/** A duration for people: the two largest units that are not zero, for example `1 h 30 min`. */
export function showDuration(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor((seconds % 86_400) / 3_600), "h"],
    [Math.floor((seconds % 3_600) / 60), "min"],
    [seconds % 60, "s"],
  ];
  const shown = parts.filter(([amount]) => amount > 0).slice(0, 2);
  return shown.length === 0 ? "0 s" : shown.map(([amount, unit]) => `${amount} ${unit}`).join(" ");
}
