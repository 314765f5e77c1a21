import type { Gate, GateInput, GateOutcome } from "./gate.ts";
import { harmOf } from "./harm.ts";
import { firstHold, stepHold } from "./holds.ts";

/** Exposure: do the users of the candidate get answers, in time, at the price agreed? Errors, latency, cost, and whether both arms are heard. */
export const cohortGate: Gate = {
  gate: "cohort",
  judge(input: GateInput): GateOutcome {
    const harm = harmOf(input);
    const outcome = { gate: "cohort", wantsContraction: harm.action === "contract" } as const;
    if (harm.action === "rollback") return { ...outcome, verdict: "roll_back", reasons: ["signal_breach"], about: harm.signals, message: "" };
    if (harm.action !== "none") return { ...outcome, verdict: "freeze", reasons: ["signal_breach"], about: harm.signals, message: "" };
    const { verdict, who } = input.silence.calls;
    if (verdict !== "none")
      return { ...outcome, verdict, reasons: ["stale"], about: ["calls"], message: `${who} sent no record where at least 12 were expected` };
    const { split } = input.attempt;
    if (split.isMismatch) {
      const message = `subjects do not arrive in the arms as planned (${split.candidate} new on the candidate, ${split.baseline} on the baseline)`;
      return { ...outcome, verdict: "hold", reasons: ["split_mismatch"], about: ["split"], message };
    }
    if (input.mode === "observe") return { ...outcome, verdict: "pass", reasons: [], about: [], message: "" };
    const required = input.assessments.filter(({ isRequired }) => isRequired);
    const hold = stepHold(input) ?? firstHold(input, required, []);
    if (hold !== null) return { ...outcome, verdict: "hold", reasons: [hold.reason], about: hold.about, message: hold.message };
    return { ...outcome, verdict: "pass", reasons: [], about: [], message: "" };
  },
};
