import { combine } from "../../stats/combine.ts";
import { ln } from "../../stats/ln.ts";
import { nano, threshold } from "../../stats/nano-nats.ts";
import type { RolloutPlan } from "../spec/plan.ts";
import type { Assessment } from "./assess.ts";

/** The evidence of all guardrails together (statistics.md section 2). Logs in nano-nats. */
export interface Crossing {
  readonly logA: number;
  readonly logAMinus: number;
  /** A (after a thaw: A without the blocks set aside) has reached 1/alpha. */
  readonly isCrossed: boolean;
  /** It still does without the most incriminating blocks. */
  readonly isCrossedMinus: boolean;
  /** Signals to which the crossing is attributed, the largest term first; empty without one. */
  readonly breaches: readonly string[];
  /** Of those: signals whose breach is sustained. */
  readonly sustained: readonly string[];
}

interface Term {
  readonly name: string;
  readonly log: number;
  readonly assessment: Assessment;
}

function termsOf(guardrails: readonly Assessment[], logE: (assessment: Assessment) => number): Term[] {
  return guardrails
    .map((assessment) => ({ name: assessment.planned.name, log: logE(assessment) + nano(ln(assessment.planned.weight)), assessment }))
    .sort((a, b) => b.log - a.log || (a.name < b.name ? -1 : 1));
}

/** A signal breaches when it alone reaches 1/alpha, or when it is the largest term of a sum that does. */
const attributed = (terms: readonly Term[], bound: number) => terms.filter(({ log }, i) => i === 0 || log >= bound);

/**
 * @param isSetAside after a thaw: the most incriminating blocks stay out for the rest of the attempt
 */
export function crossing(assessments: readonly Assessment[], plan: Pick<RolloutPlan, "alpha" | "sustain">, isSetAside: boolean): Crossing {
  const guardrails = assessments.filter(({ planned }) => planned.weight > 0);
  const together = (logE: (assessment: Assessment) => number) => combine(guardrails.map((found) => ({ weight: found.planned.weight, logE: logE(found) })));
  const minus = ({ logEMinus }: Assessment) => logEMinus;
  const effective = isSetAside ? minus : ({ logE }: Assessment) => logE;
  const bound = threshold(plan.alpha);
  const logAMinus = together(minus);
  const isCrossed = together(effective) >= bound;
  const isCrossedMinus = logAMinus >= bound;
  const breaches = isCrossed ? attributed(termsOf(guardrails, effective), bound) : [];
  const sustained = isCrossedMinus ? attributed(termsOf(guardrails, minus), bound).filter(({ assessment }) => assessment.harmBlocks >= plan.sustain.panes) : [];
  return {
    logA: together(({ logE }) => logE),
    logAMinus,
    isCrossed,
    isCrossedMinus,
    breaches: breaches.map(({ name }) => name),
    sustained: sustained.map(({ name }) => name),
  };
}
