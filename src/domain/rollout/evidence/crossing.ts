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
  /** Slices (by signal) that the breach of a signal is due to: `all`, or names of slices. */
  readonly slices: Readonly<Record<string, readonly string[]>>;
}

interface Term {
  readonly name: string;
  readonly log: number;
  readonly assessment: Assessment;
}

type Of = "logE" | "logEMinus";

function termsOf(guardrails: readonly Assessment[], of: Of): Term[] {
  return guardrails
    .map((assessment) => ({ name: assessment.planned.name, log: assessment[of] + nano(ln(assessment.weight)), assessment }))
    .sort((a, b) => b.log - a.log || (a.name < b.name ? -1 : 1));
}

/** A signal breaches when it alone reaches 1/alpha, or when it is the largest term of a sum that does. */
const attributed = (terms: readonly Term[], bound: number) => terms.filter(({ log }, i) => i === 0 || log >= bound);

/** The slices of a breached signal that reach 1/alpha alone, or the one that says most. */
function guiltySlices({ assessment }: Term, of: Of, bound: number): string[] {
  const terms = assessment.slices
    .filter(({ share }) => share > 0)
    .map((slice) => ({ name: slice.name, log: slice[of] + nano(ln(slice.share * assessment.weight)) }))
    .sort((a, b) => b.log - a.log);
  return terms.filter(({ log }, i) => i === 0 || log >= bound).map(({ name }) => name);
}

const names = (terms: readonly Term[]) => [...new Set(terms.map(({ name }) => name))];

/**
 * @param isSetAside after a thaw: the most incriminating blocks stay out for the rest of the attempt
 */
export function crossing(assessments: readonly Assessment[], plan: Pick<RolloutPlan, "alpha" | "sustain">, isSetAside: boolean): Crossing {
  const guardrails = assessments.filter(({ weight }) => weight > 0);
  const together = (of: Of) => combine(guardrails.map((found) => ({ weight: found.weight, logE: found[of] })));
  const effective: Of = isSetAside ? "logEMinus" : "logE";
  const bound = threshold(plan.alpha);
  const [logA, logAMinus] = [together("logE"), together("logEMinus")];
  const isCrossed = (isSetAside ? logAMinus : logA) >= bound;
  const isCrossedMinus = logAMinus >= bound;
  const breaches = isCrossed ? attributed(termsOf(guardrails, effective), bound) : [];
  const sustained = isCrossedMinus
    ? attributed(termsOf(guardrails, "logEMinus"), bound).filter(({ assessment }) => assessment.harmBlocks >= plan.sustain.panes)
    : [];
  return {
    logA,
    logAMinus,
    isCrossed,
    isCrossedMinus,
    breaches: names(breaches),
    sustained: names(sustained),
    slices: Object.fromEntries([...breaches].reverse().map((term) => [term.name, guiltySlices(term, effective, bound)])),
  };
}
