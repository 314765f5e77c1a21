/** What a value takes beside its texts: a rough figure, so that many empty ones count too. */
export const VALUE_CHARS = 16;

/** About how many characters of memory a value of JSON takes: its texts and names, and a little for each value. */
export function charsOf(value: unknown): number {
  if (typeof value === "string") return VALUE_CHARS + value.length;
  if (typeof value !== "object" || value === null) return VALUE_CHARS;
  let chars = VALUE_CHARS;
  for (const name in value) chars += (Array.isArray(value) ? 0 : name.length) + charsOf((value as Record<string, unknown>)[name]);
  return chars;
}
