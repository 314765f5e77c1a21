import type { GateEvent } from "../../../topics/index.ts";
import { hashOf, type ReducerDeps } from "../rollout/gate-event.ts";
import { type Difference, firstDifference } from "./difference.ts";

/** A difference without where it is. */
export type Found = Pick<Difference, "field" | "recorded" | "computed" | "message">;

/** Of an event that another version of the code decided only these must be the same: its numbers may differ. */
const decisionFields = ["action", "fromPhase", "fromStep", "toPhase", "toStep", "toSharePpm", "condition", "reasons", "actor", "rollout", "attempt"] as const;

/**
 * Compares a published event with the recomputed one.
 *
 * @param about.isExact the same code has decided the whole attempt: every field must be the same
 * @param about.previousHash hash of the event published before; null: it is gone, or not known
 */
export function compareEvent(
  published: GateEvent,
  computed: GateEvent,
  about: { readonly isExact: boolean; readonly previousHash: string | null; readonly deps: ReducerDeps },
): Found | null {
  const { isExact, previousHash, deps } = about;
  if (published.codeVersion === deps.codeVersion) {
    // The schema of another version may have had other fields: only our own events can be hashed again.
    const hash = hashOf(published, deps);
    if (published.hash !== hash) {
      const changed = differing(published, computed) ?? { field: "gateEvent.hash", recorded: published.hash, computed: hash };
      return { ...changed, message: `gate event ${published.id} (${published.action}) does not have the hash that it carries: it was changed` };
    }
  }
  const decided = (event: GateEvent) => Object.fromEntries(decisionFields.map((field) => [field, event[field]]));
  const found = isExact ? differing(published, computed) : firstDifference(decided(published), decided(computed), "gateEvent");
  if (found !== null) {
    const who = isExact ? "" : ` by version ${published.codeVersion}, and this is ${deps.codeVersion}`;
    return { ...found, message: `${published.action} was decided otherwise${who}: recorded "${published.message}", computed "${computed.message}"` };
  }
  if (previousHash !== null && published.previousHash !== previousHash) {
    return {
      field: "gateEvent.previousHash",
      recorded: published.previousHash,
      computed: previousHash,
      message: `the chain of gate events is broken before ${published.id} (${published.action})`,
    };
  }
  return null;
}

/** Hashes last: they differ because something else does. */
function differing(published: GateEvent, computed: GateEvent) {
  const { hash: _a, previousHash: _b, ...own } = published;
  const { hash: _c, previousHash: _d, ...mine } = computed;
  return firstDifference(own, mine, "gateEvent");
}
