import type { RubricSignal } from "./rubric.ts";

/** na: does not apply to this item; unsure: applies, but cannot be decided from what is shown. */
export const criterionAnswers = ["yes", "no", "na", "unsure"] as const;
export type CriterionAnswer = (typeof criterionAnswers)[number];

/** What a judge answered, per criterion id. */
export type Answers = Readonly<Record<string, CriterionAnswer>>;

/** What the judging of one side came to. `failed` says that the judge failed, never that the answer is bad. */
export interface SideVerdict {
  readonly status: "scored" | "abstained" | "failed";
  /** 0 worst, 1 best; null unless scored. */
  readonly value: number | null;
}

const abstained: SideVerdict = { status: "abstained", value: null };
export const failedVerdict: SideVerdict = { status: "failed", value: null };

/**
 * The verdict on one signal, computed from the answers to its criteria and never asked for: judges agree with people on
 * small questions, not on sums.
 *
 * binary: 0 when a criterion is answered no; otherwise abstained when one is unsure or none applies; else 1.
 * score: share of yes among yes and no; abstained when one is unsure or none applies.
 *
 * @see Lee et al. 2024, CheckEval, arXiv:2403.18771
 */
export function verdictOf(signal: RubricSignal, answers: Answers): SideVerdict {
  const given = signal.criteria.map(({ id }) => answers[id]);
  const yes = given.filter((answer) => answer === "yes").length;
  const no = given.filter((answer) => answer === "no").length;
  if (signal.form === "binary" && no > 0) return { status: "scored", value: 0 };
  if (yes + no === 0 || given.some((answer) => answer === "unsure" || answer === undefined)) return abstained;
  return { status: "scored", value: yes / (yes + no) };
}

/** What the judging of one signal of a sample came to. */
export interface PairVerdict extends SideVerdict {
  /** Value of the served side of a pair; null when there is no pair, or it is not scored. */
  readonly twinValue: number | null;
}

/** Both sides of a pair or neither: one side that is not scored leaves nothing to compare. Failed outweighs abstained. */
export function pairVerdict(side: SideVerdict, twin: SideVerdict | null): PairVerdict {
  if (twin === null) return { ...side, twinValue: null };
  if (side.status === "scored" && twin.status === "scored") return { ...side, twinValue: twin.value };
  const status = side.status === "failed" || twin.status === "failed" ? "failed" : "abstained";
  return { status, value: null, twinValue: null };
}
