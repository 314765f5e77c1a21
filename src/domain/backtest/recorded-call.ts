/** One recorded call, as a file of calls holds it. What a row leaves out is null: that signal is absent for the call. */
export interface RecordedCall {
  readonly version: string;
  /** The same id under two versions is the same prompt. */
  readonly promptId: string | null;
  /** Who asked; null: each call is a subject of its own. */
  readonly subject: string | null;
  readonly traceId: string | null;
  readonly slices: readonly string[];
  /** Arrival in ms after any fixed moment, the same for all rows. */
  readonly atMs: number | null;
  readonly isError: boolean | null;
  /** The call never answered in time: worse than any latency (statistics.md section 1.4). */
  readonly isTimeout: boolean;
  readonly isSchemaValid: boolean | null;
  /** At least 0, ms. */
  readonly latencyMs: number | null;
  /** At least 0, ms. */
  readonly ttftMs: number | null;
  /** At least 0, US dollars. */
  readonly costUsd: number | null;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  /** Judged signals by name, as quality: 0..1, 1 is best also where the signal counts something bad. */
  readonly scores: ReadonlyMap<string, number>;
}
