import { INPUT_LAYOUT, type ReducerInput } from "../../../../src/domain/rollout/input.ts";
import type { EvidenceEntry } from "../../../../topics/index.ts";
import { route, World } from "../../../fixtures/rollout-world.ts";

/** A world that also keeps the journal as a decider writes it. */
export class RecordedWorld extends World {
  readonly journal: EvidenceEntry[] = [];

  override give(input: ReducerInput): void {
    const { state, events } = this;
    const known = events.length;
    super.give(input);
    if (this.state === state) return;
    this.journal.push({
      route,
      seq: this.state.seq,
      atMs: input.atMs,
      kind: input.kind,
      input: JSON.stringify(input),
      layout: INPUT_LAYOUT,
      gateEventIds: events.slice(known).map(({ id }) => id),
      epoch: this.state.epoch,
    });
  }
}
