import type { PlannedSignal, RolloutPlan } from "../spec/plan.ts";
import type { Part } from "./parts.ts";
import type { BlockOrigin } from "./test-state.ts";

/** What a pane is fed with. */
export interface FeedContext {
  readonly plan: RolloutPlan;
  readonly planned: PlannedSignal;
  readonly paneStartMs: number;
  readonly paneEndMs: number;
  readonly round: number;
  /** Step that the rollout is in: only its blocks advance it. */
  readonly step: number;
  /** ln(1/alpha_adv) of the attempt, nano-nats. */
  readonly ceiling: number;
  /** False for panes that overlap a pause: they are no evidence. */
  readonly isEvidence: boolean;
}

export function originOf(part: Part, context: FeedContext): BlockOrigin {
  const { step, epoch, evaluatorVersion } = part;
  return { step, epoch, evaluatorVersion, fromMs: context.paneStartMs, toMs: context.paneEndMs };
}
