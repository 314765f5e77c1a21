import type { Aggregate } from "../../../topics/index.ts";
import type { Block, PaneInput } from "../../domain/rollout/input.ts";

interface Held {
  readonly route: string;
  readonly group: string;
  readonly paneStartMs: number;
  readonly firstOffset: number;
  readonly blocks: Block[];
}

/** A pane that is complete: all its blocks, and whose route they are. */
export interface ClosedPane {
  readonly route: string;
  readonly pane: Omit<PaneInput, "atMs" | "seenEpoch">;
}

/** Panes by which a pane without its close may lag behind the closes of its route and group, before it is given up. */
const MOST_LAG_PANES = 30;

/** Keeps the blocks of each pane and group until their `close` arrives. Blocks that are still waiting decide what must be read again after a restart. */
export class PaneCollector {
  /** In the order of their first block. */
  readonly #held = new Map<string, Held>();

  /** @returns the pane that this record closes, or null */
  take(record: Aggregate, offset: number): ClosedPane | null {
    const { kindOfRecord, group, route, paneStartMs, paneMs, round, watermarkMs } = record;
    const key = JSON.stringify([route, group, paneStartMs, round]);
    if (kindOfRecord !== "close") {
      const held = this.#held.get(key) ?? { route, group, paneStartMs, firstOffset: offset, blocks: [] };
      held.blocks.push(blockOf(record));
      this.#held.set(key, held);
      return null;
    }
    const blocks = this.#held.get(key)?.blocks ?? [];
    this.#held.delete(key);
    this.#giveUp(record);
    if (group === "other") return null;
    return { route, pane: { kind: "pane", group, paneStartMs, paneMs, round, watermarkMs, blocks } };
  }

  /** Offset of the oldest block whose pane is not closed yet; null when none waits. */
  oldestOffset(): number | null {
    const first = this.#held.values().next();
    return first.done ? null : first.value.firstOffset;
  }

  /** A writer that died between blocks and close cannot hold the task's offset for ever. */
  #giveUp(close: Aggregate): void {
    for (const [key, held] of this.#held) {
      const lagMs = close.paneStartMs - held.paneStartMs;
      if (held.route === close.route && held.group === close.group && lagMs > MOST_LAG_PANES * close.paneMs) this.#held.delete(key);
    }
  }
}

/** A block without what its pane says already. */
function blockOf(record: Aggregate): Block {
  const { kindOfRecord: _k, group: _g, route: _r, paneStartMs: _s, paneMs: _p, round: _n, coverage: _c, watermarkMs: _w, ...block } = record;
  return block;
}
