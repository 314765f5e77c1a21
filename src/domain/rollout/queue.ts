import type { RolloutSpec, RoutingTable } from "../../../topics/index.ts";
import { rolloutIdOf } from "./spec/normalise.ts";

/** The word of somebody else than who asked. */
export interface Approval {
  readonly actor: string;
  readonly reason: string;
}

/** A declared spec, or a retry, that was not carried out at once. JSON-serialisable: it is part of the decider's state. */
export interface Waiting {
  /** `start`: a new rollout, `replace`: the same in place of the running one, `edit`: of the running one, `retry`: of the newest one. */
  readonly how: "start" | "replace" | "edit" | "retry";
  /** `turn`: until no rollout runs. `approval`: until somebody else approves it. */
  readonly needs: "turn" | "approval";
  readonly digest: string;
  /** Who asked. */
  readonly actor: string;
  readonly atMs: number;
  /** Null for a retry, which is of the plan that the route has. */
  readonly spec: RolloutSpec | null;
  readonly rubrics: RoutingTable["rubrics"];
  /** Who approved it, while it waits for its turn. */
  readonly approval: Approval | null;
  /** Why it waits, one clause for people. */
  readonly why: string;
  /** Rollout and attempt that an edit or a retry is of; an empty name: of none. */
  readonly of: { readonly rollout: string; readonly attempt: number };
}

/** At most one of each waits: the newest wins, since two would be decided in an order that nobody asked for. */
export interface WaitingSpecs {
  /** What starts next. */
  readonly next: Waiting | null;
  /** A change of the running rollout. */
  readonly edit: Waiting | null;
}

export const nobodyWaits: WaitingSpecs = { next: null, edit: null };

export const slotOf = ({ how }: Pick<Waiting, "how">): keyof WaitingSpecs => (how === "edit" ? "edit" : "next");

export function put(waiting: WaitingSpecs, one: Waiting): WaitingSpecs {
  return { ...waiting, [slotOf(one)]: one };
}

/** Everything that waits, the edit first. */
export const waitingOf = ({ next, edit }: WaitingSpecs): Waiting[] => [edit, next].filter((one) => one !== null);

/** The names that an event about a waiting spec carries. */
export function namesOfWaiting({ spec, digest, of }: Waiting): { rollout: string; baseline: string; candidate: string; specDigest: string } {
  return { rollout: spec === null ? of.rollout : rolloutIdOf(spec), baseline: spec?.baseline ?? "", candidate: spec?.candidate ?? "", specDigest: digest };
}

/** What waits, in one sentence for people; empty when nothing does. */
export function waitingSaid(waiting: WaitingSpecs): string {
  return waitingOf(waiting)
    .map((one) => `${one.how} of ${namesOfWaiting(one).rollout} by ${one.actor} ${one.why}`)
    .join("; ");
}
