import type { Aggregate, Brake, Command, RolloutSpec, RoutingTable } from "../../../topics/index.ts";

/** Layout number of the inputs below, written with each `evidence` record. */
export const INPUT_LAYOUT = 1;

/** The counts of one series and pane as the reducer reads them: a block without what its pane says already. */
export type Block = Omit<Aggregate, "kindOfRecord" | "group" | "route" | "paneStartMs" | "paneMs" | "round" | "coverage" | "watermarkMs">;

/** Candidate traffic of the other routes, when a cap over all of them is configured. */
export interface FleetExposure {
  /** Largest share of all calls that candidates may serve together, parts per million. */
  readonly mostPpm: number;
  /** Calls per minute that candidates of the other routes serve. */
  readonly candidatePerMinute: number;
  /** All calls per minute of the other routes, as far as they are known. */
  readonly callsPerMinute: number;
}

interface Timed {
  /** Decision time, epoch ms: the only clock that the reducer knows. */
  readonly atMs: number;
  /** Highest epoch of the route that was seen anywhere (routing topic, fleet); 0 or absent: none. */
  readonly seenEpoch?: number;
  /** Absent: no cap is configured. */
  readonly exposure?: FleetExposure;
}

/** A declared spec. `spec` is null when it does not fit its schema; then `problems` say why. */
export interface SpecInput extends Timed {
  readonly kind: "spec";
  readonly route: string;
  readonly digest: string;
  readonly actor: string;
  readonly rubrics: RoutingTable["rubrics"];
  readonly spec: RolloutSpec | null;
  readonly problems: readonly string[];
  /** Live gateways with the upstreams that they know; empty when none is live. */
  readonly gateways: readonly { readonly instance: string; readonly upstreams: readonly string[] }[];
}

export interface CommandInput extends Timed {
  readonly kind: "command";
  /** In journals of before golden prompts it carries no `probe`. */
  readonly command: Omit<Command, "probe"> & { readonly probe?: Command["probe"] };
}

export interface BrakeInput extends Timed {
  readonly kind: "brake";
  readonly brake: Brake;
}

/** A closed pane of a group, with all its blocks. Rounds above 0 hold what came late. */
export interface PaneInput extends Timed {
  readonly kind: "pane";
  readonly group: "calls" | "judge" | "outcome";
  readonly paneStartMs: number;
  readonly paneMs: number;
  readonly round: number;
  readonly watermarkMs: number;
  readonly blocks: readonly Block[];
}

/** Time has passed. */
export interface TickInput extends Timed {
  readonly kind: "tick";
  /** Live gateways, given while a spec waits for its turn; absent: its upstreams are not checked again. */
  readonly gateways?: SpecInput["gateways"];
  /** The topic does not hold the route's newest table: it was deleted and created anew. */
  readonly isTableLost?: true;
}

/** Everything that the reducer consumes; JSON-serialisable, and all of it is in `evidence`. */
export type ReducerInput = SpecInput | CommandInput | BrakeInput | PaneInput | TickInput;
