import type { Assessment } from "../evidence/assess.ts";
import type { OnBreach } from "../spec/plan.ts";
import type { GateInput } from "./gate.ts";

/** What proven harm among a gate's signals asks for. */
export interface Harm {
  readonly action: "none" | OnBreach;
  readonly signals: readonly string[];
}

/** DESIGN.md section 6, table of actions: in shadow and while observing a sustained breach ends the attempt. */
function sustainedAction({ planned }: Assessment, { attempt }: GateInput): OnBreach {
  return attempt.phase === "shadow" || attempt.phase === "observing" ? "rollback" : planned.onBreach;
}

const severity: Readonly<Record<OnBreach, number>> = { freeze: 1, contract: 2, rollback: 3 };

/** The worst action that the gate's breaches ask for. A freeze that was begun stays until the policy thaws it. */
export function harmOf(input: GateInput): Harm {
  const { crossing, attempt } = input;
  const frozenBy = attempt.frozen?.cause === "breach" ? attempt.frozen.about : null;
  let action: Harm["action"] = "none";
  const signals: string[] = [];
  for (const assessment of input.assessments) {
    const { name } = assessment.planned;
    const isSustained = crossing.sustained.includes(name);
    if (!isSustained && !crossing.breaches.includes(name) && frozenBy !== name) continue;
    if (!signals.includes(name)) signals.push(name);
    const asked = isSustained ? sustainedAction(assessment, input) : "freeze";
    if (action === "none" || severity[asked] > severity[action]) action = asked;
  }
  return { action, signals };
}
