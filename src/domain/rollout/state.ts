import type { AttemptRow, Condition, Phase, RoutingTable, ServedVersion } from "../../../topics/index.ts";
import { noWatch, type WatchState } from "../drift/watch-state.ts";
import type { Edition } from "./evidence/edition.ts";
import type { SignalState } from "./evidence/signal-state.ts";
import type { SilenceState } from "./evidence/silence.ts";
import type { SplitState } from "./evidence/split.ts";
import type { Pairs } from "./ledger.ts";
import { nobodyWaits, type WaitingSpecs } from "./queue.ts";
import type { RolloutPlan } from "./spec/plan.ts";

/** Layout number of the state; an unknown one pauses the task (DESIGN.md section 2). */
export const STATE_LAYOUT = 4;

/** Why a rollout is frozen, and since when. */
export interface Frozen {
  readonly cause: "breach" | "silence" | "operator";
  readonly sinceMs: number;
  /** The signal of the breach, or the group that is silent. */
  readonly about: string;
}

/** One attempt of a rollout. Evidence is scoped to it. */
export interface Attempt {
  readonly plan: RolloutPlan;
  readonly specDigest: string;
  /** Number of the attempt within its rollout id, from 1. */
  readonly attempt: number;
  /** Decision time of its start, epoch ms. */
  readonly startedAtMs: number;
  /** How many attempts of this pair of versions there were before: each halves the alpha to advance. */
  readonly halvings: number;
  readonly phase: Phase;
  /** Rung of the ladder, from 0; -1 in shadow. */
  readonly step: number;
  readonly stepSinceMs: number;
  readonly isPaused: boolean;
  /** Times in which the rollout was paused, epoch ms; `toMs` null: still. The newest 50. */
  readonly pauses: readonly { readonly fromMs: number; readonly toMs: number | null }[];
  readonly frozen: Frozen | null;
  /** After a thaw: A means A without the most incriminating blocks, for the rest of the attempt. */
  readonly isSetAside: boolean;
  readonly setAsidePanes: readonly number[];
  readonly contractedAtMs: number | null;
  /** Steps that a person approved, with who. */
  readonly approved: Readonly<Record<string, string>>;
  readonly signals: readonly SignalState[];
  /** Evidence under earlier margins of the spec, oldest first. */
  readonly editions: readonly Edition[];
  /** Decision time of the newest edit; panes that started before it are no evidence under the present margins. 0: never edited. */
  readonly editedAtMs: number;
  /** Edits of margins, weights or alpha so far. */
  readonly edits: number;
  readonly split: SplitState;
  readonly silence: SilenceState;
  /** Candidate's served requests in this step; in shadow its mirrored ones. Those of a pause do not count. */
  readonly stepRequests: number;
  /** Time of covered panes while observing, ms. */
  readonly observedMs: number;
  /** Panes of `calls` in which the candidate served, waiting for the judge's close: stretches without a gap, epoch ms, oldest first. */
  readonly unobservedPanes: readonly { readonly fromMs: number; readonly toMs: number }[];
  /** Newest closed pane per group, epoch ms of its start; -1 (or absent, of outcomes): none in this attempt. */
  readonly newestPane: { readonly calls: number; readonly judge: number; readonly outcome?: number };
  readonly watermarkMs: number;
  /** A bug in the evidence: held for the rest of the attempt, with what was wrong. */
  readonly evaluationError: string | null;
  /** Reasons of the newest gate event, sorted: an event follows when they change. */
  readonly reasons: readonly string[];
  readonly message: string;
}

/** Where rounds of panes stand, so that nothing is fed twice. */
export interface FedPanes {
  /** End of the newest pane whose round 0 was fed, epoch ms; -1: none. Ends, since attempts may have panes of different length. */
  readonly newestEndMs: number;
  /** End of a pane and the newest round of it that was fed, for the newest panes, oldest first; of outcomes only the last late one. */
  readonly rounds: readonly (readonly [endMs: number, round: number])[];
}

/** All that the decider knows of a route. JSON-serialisable. */
export interface RouteState {
  readonly layout: typeof STATE_LAYOUT;
  readonly route: string;
  /** Number of the newest evidence record, from 1; 0 before the first. */
  readonly seq: number;
  readonly atMs: number;
  readonly epoch: number;
  /** The version that serves the route; null before the first rollout. */
  readonly serving: ServedVersion | null;
  /** The version that served before the last `done`, one `undo` away. */
  readonly fallback: ServedVersion | null;
  /** When the fallback is given up, epoch ms; 0: there is none. */
  readonly fallbackUntilMs: number;
  readonly current: Attempt | null;
  /** Of outcomes absent until the first. */
  readonly fed: { readonly calls: FedPanes; readonly judge: FedPanes; readonly outcome?: FedPanes };
  /** Calls per minute of the route: decayed sums of served calls and of the time they took. */
  readonly callRate: { readonly calls: number; readonly ms: number };
  /** Sampling rates of the newest table, when they were set, and how many value caps it announces. */
  readonly sampling: { readonly atMs: number; readonly callsPerMinute: number | null; readonly ppm: RoutingTable["samplePpm"] | null; readonly caps: number };
  /** A brake on all routes is set. */
  readonly isBrakedByAll: boolean;
  /** Time of the newest record about all routes that was taken, set or cleared, epoch ms; 0: none. */
  readonly allBrakeAtMs: number;
  /** What was tried per pair of versions, newest last. */
  readonly pairs: Pairs;
  /** One row per attempt, newest last; older rows are in their gate events. */
  readonly ledger: readonly AttemptRow[];
  /** Newest attempt number per rollout id. */
  readonly numbers: Readonly<Record<string, number>>;
  /** Digest of the definition of each version that was rolled out or served, by name, newest last: a name never changes its meaning. */
  readonly definitions: Readonly<Record<string, string>>;
  /** Specs that were started, with the newest attempt of each, newest last: none is started twice by declaring it. */
  readonly starts: readonly { readonly digest: string; readonly rollout: string; readonly attempt: number }[];
  /** Declared specs that wait for their turn or for an approval. */
  readonly waiting: WaitingSpecs;
  /** The always-on drift watch. */
  readonly watch: WatchState;
  /** Ids of commands that were taken, newest last. */
  readonly commandIds: readonly string[];
  readonly lastEventId: string;
  readonly lastHash: string;
}

export const noPanes: FedPanes = { newestEndMs: -1, rounds: [] };

/** The state of a route of which nothing is known. */
export function initialState(route: string): RouteState {
  return {
    layout: STATE_LAYOUT,
    route,
    seq: 0,
    atMs: 0,
    epoch: 0,
    serving: null,
    fallback: null,
    fallbackUntilMs: 0,
    current: null,
    fed: { calls: noPanes, judge: noPanes },
    callRate: { calls: 0, ms: 0 },
    sampling: { atMs: 0, callsPerMinute: null, ppm: null, caps: 0 },
    isBrakedByAll: false,
    allBrakeAtMs: 0,
    pairs: {},
    ledger: [],
    numbers: {},
    definitions: {},
    starts: [],
    waiting: nobodyWaits,
    watch: noWatch,
    commandIds: [],
    lastEventId: "",
    lastHash: "",
  };
}

/** Phases in which an attempt is under way. */
export function isRunning(attempt: Attempt | null): attempt is Attempt {
  return attempt !== null && (attempt.phase === "shadow" || attempt.phase === "canary" || attempt.phase === "observing");
}

export function conditionOf(attempt: Attempt): Condition {
  if (attempt.frozen !== null) return "frozen";
  return attempt.isPaused ? "paused" : "progressing";
}
