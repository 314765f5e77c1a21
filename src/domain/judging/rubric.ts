/** What a judge is asked about one answer. Its text is immutable under its name@version; `catalog` holds it by digest. */
export interface Rubric {
  /** name@version, for example task@1. */
  readonly name: string;
  /** For the judge: what kind of work it grades, and how strict to be. */
  readonly instructions: string;
  /** What the judge sees beside prompt and answer: nothing, the system messages, or the whole conversation before the last user message. */
  readonly context: "none" | "system" | "conversation";
  readonly signals: readonly RubricSignal[];
}

export interface RubricSignal {
  /** Name of the signal that the rubric scores, for example task_completion. */
  readonly name: string;
  /** binary: pass when no criterion is answered no. score: share of criteria answered yes, 0..1. */
  readonly form: "binary" | "score";
  readonly criteria: readonly Criterion[];
}

/** One question that yes or no answers; yes is always the good answer. */
export interface Criterion {
  readonly id: string;
  readonly question: string;
}
