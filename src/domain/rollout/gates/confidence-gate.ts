import type { SilenceVerdict } from "../evidence/silence.ts";
import type { Gate, GateInput, GateOutcome } from "./gate.ts";
import { harmOf } from "./harm.ts";
import { firstHold } from "./holds.ts";

/** Quality: is the candidate as good? Checks, judged signals and outcomes; also whether the judge answers at all. */
export const confidenceGate: Gate = {
  gate: "confidence",
  judge(input: GateInput): GateOutcome {
    const harm = harmOf(input);
    const outcome = { gate: "confidence", wantsContraction: harm.action === "contract" } as const;
    if (harm.action === "rollback") return { ...outcome, verdict: "roll_back", reasons: ["signal_breach"], about: harm.signals, message: "" };
    if (harm.action !== "none") return { ...outcome, verdict: "freeze", reasons: ["signal_breach"], about: harm.signals, message: "" };
    const judged = input.assessments.some(({ planned }) => planned.group === "judge" && planned.weight > 0);
    const silence: SilenceVerdict = judged ? input.silence.judge : { verdict: "none", who: "" };
    if (silence.verdict !== "none") {
      return { ...outcome, verdict: silence.verdict, reasons: ["no_data"], about: ["judge"], message: `no score comes back for ${silence.who}` };
    }
    if (input.mode === "observe") return { ...outcome, verdict: "pass", reasons: [], about: [], message: "" };
    const required = input.assessments.filter(({ isRequired }) => isRequired);
    const hold = firstHold(input, required, required);
    if (hold !== null) return { ...outcome, verdict: "hold", reasons: [hold.reason], about: hold.about, message: hold.message };
    return { ...outcome, verdict: "pass", reasons: [], about: [], message: "" };
  },
};
