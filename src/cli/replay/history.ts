import type { CatalogEntry, EvidenceEntry } from "../../../topics/index.ts";
import type { EventShelf } from "./event-shelf.ts";

/** A route's history as a topic or a file holds it. */
export interface History {
  readonly route: string;
  /** The rollout that was asked for by its id; null: the whole route. */
  readonly rollout: string | null;
  /** Where it was read from, for people. */
  readonly from: string;
  /** Partition of `evidence` that the route is in. */
  readonly partition: number;
  /** Published gate events, read before the evidence. */
  readonly events: EventShelf;
  /** Retention has deleted the beginning of the partition of `gate-events`. */
  readonly isEventHeadGone: boolean;
  /** First offset that is still in the partition of `evidence`, and the one behind the last that is read. */
  readonly evidenceFromOffset: number;
  readonly evidenceToOffset: number;
  /**
   * Reads the evidence of the route in its order.
   * @param take answers false when it needs no more
   */
  readEvidence(take: (entry: EvidenceEntry, offset: number) => boolean): Promise<void>;
  /** Texts of the digests, as far as they are known. */
  readCatalog(digests: ReadonlySet<string>): Promise<CatalogEntry[]>;
  close(): Promise<void>;
}
