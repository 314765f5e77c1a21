/** A demand of issue 4, and whether the figures meet it. */
export interface Target {
  readonly what: string;
  readonly isMet: boolean;
  /** What was measured, or which rows miss it. */
  readonly found: string;
}

/** What one part of the bench adds to the document. */
export interface Section {
  readonly markdown: string;
  readonly targets: readonly Target[];
}

/** The q-quantile of numbers, infinite ones last; NaN of none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}
export const median = (values: readonly number[]): number => quantile(values, 0.5);

const shown = (minutes: number) => (Number.isFinite(minutes) ? String(Math.round(minutes)) : "–");
/** Median (p90); – for never within the horizon. */
export const spread = (values: readonly number[]): string => `${shown(median(values))} (${shown(quantile(values, 0.9))})`;

export const share = <T>(runs: readonly T[], is: (run: T) => boolean): number => runs.filter(is).length / runs.length;

/** Frequency with one Monte Carlo standard deviation, of at least one run. */
export function percent(p: number, runs: number): string {
  const sd = Math.sqrt(Math.max(p * (1 - p), 1 / runs) / runs);
  return `${(100 * p).toFixed(2)} ± ${(100 * sd).toFixed(2)} %`;
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** A target that every row must meet: names those that do not. */
export function everyRow(what: string, misses: readonly string[], rows: number): Target {
  return {
    what,
    isMet: misses.length === 0,
    found: misses.length === 0 ? `all ${rows} rows` : `${misses.length} of ${rows} rows miss it: ${misses.join("; ")}`,
  };
}

/** At most `factor` times the published figure, or one unit of the clock's resolution more, whichever is larger. */
export const isWithin = (got: number, published: number, factor: number, resolution: number): boolean =>
  got <= Math.max(factor * published, published + resolution);

export function targetsTable(targets: readonly Target[]): string {
  return table(
    ["target", "met", "measured"],
    targets.map(({ what, isMet, found }) => [what, isMet ? "yes" : "**no**", found]),
  );
}
