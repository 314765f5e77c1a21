import type { EvidenceEntry, GateEvent } from "../../../topics/index.ts";
import type { ReducerDeps } from "../rollout/gate-event.ts";
import type { ReducerInput } from "../rollout/input.ts";
import { reduce } from "../rollout/reduce.ts";
import { initialState, type RouteState } from "../rollout/state.ts";
import type { Step } from "../rollout/step.ts";
import { compareEvent, type Found } from "./compare-event.ts";
import { type Difference, firstDifference } from "./difference.ts";
import { readInput, showInput } from "./read-input.ts";

/** A part of the history that is not there any more. */
export interface Missing {
  readonly topic: "evidence" | "gate-events";
  /** Sequence numbers in `evidence`, both included. */
  readonly fromSeq: number;
  readonly toSeq: number;
  /** Offsets at which they were, both included; -1: not known. */
  readonly fromOffset: number;
  readonly toOffset: number;
}

interface Counted {
  /** Evidence records that were recomputed, and gate events that were found the same. */
  readonly inputs: number;
  readonly decisions: number;
  /** Decision times of the first and the last of them, epoch ms. */
  readonly fromMs: number;
  readonly toMs: number;
  /** What the reader must know to judge the result. */
  readonly notes: readonly string[];
}

export type ReplayResult =
  | ({ readonly kind: "same" } & Counted)
  | ({ readonly kind: "different"; readonly difference: Difference } & Counted)
  | ({ readonly kind: "incomplete"; readonly missing: readonly Missing[] } & Counted);

export interface ReplaySource {
  readonly route: string;
  readonly deps: ReducerDeps;
  /** Gives a published event and forgets it; undefined when the topic has none of this id. Asked in the order of the history. */
  readonly takeEvent: (id: string) => GateEvent | undefined;
  /** Retention has deleted the beginning of the partition of `gate-events`: the route's first events may be gone. */
  readonly isEventHeadGone: boolean;
  /** First offset that is still in the partition of `evidence`; 0 when nothing was deleted. */
  readonly evidenceFromOffset: number;
}

/** What one record led to, for whoever looks on. */
export interface Replayed {
  readonly entry: EvidenceEntry;
  readonly input: ReducerInput;
  readonly before: RouteState;
  readonly step: Step;
}

/**
 * Recomputes a route's history from `evidence` alone, record by record, and compares it with what was decided (DESIGN.md
 * section 6, law 5). Holds nothing of the past but the state, so that a year of evidence streams through.
 */
export class Replay {
  readonly #source: ReplaySource;
  #state: RouteState;
  #lastOffset = -1;
  #inputs = 0;
  #decisions = 0;
  #fromMs = 0;
  #toMs = 0;
  /** Hash of the event published before; null: not known, because the beginning of the events is gone. */
  #lastHash: string | null = "";
  /** The code that decided is the code that runs here, for all evidence that is alive. */
  #isExact = true;
  readonly #otherVersions = new Set<string>();
  readonly #notes: string[] = [];
  #goneEvents: { readonly fromSeq: number; readonly toSeq: number } | null = null;
  #hasSeenEvent = false;
  #missing: Missing | null = null;
  #difference: Difference | null = null;

  constructor(source: ReplaySource) {
    this.#source = source;
    this.#state = initialState(source.route);
  }

  get state(): RouteState {
    return this.#state;
  }

  /** True once a difference or a gap was found: what follows would be a consequence of it. */
  get isOver(): boolean {
    return this.#difference !== null || this.#missing !== null;
  }

  /**
   * Takes the next record of the route.
   *
   * @returns what it led to; null when the replay is over
   * @throws {KnownError} LAYOUT_UNKNOWN
   */
  take(entry: EvidenceEntry, offset: number): Replayed | null {
    if (this.isOver || !this.#follows(entry, offset)) return null;
    const input = readInput(entry);
    const found = input === null ? unreadable(entry) : disagreeing(entry, input);
    if (input === null || found !== null) return this.#end(entry, offset, input, found);
    const published = entry.gateEventIds.map((id) => this.#source.takeEvent(id));
    for (const event of published) if (event !== undefined) this.#noteVersion(event);
    const before = this.#state;
    const step = tryReduce(before, input, this.#source.deps);
    if ("field" in step) return this.#end(entry, offset, input, step);
    const differing = this.#compare(entry, published, before, step);
    if (differing !== null) return this.#end(entry, offset, input, differing);
    this.#state = this.#continued(step.state, entry);
    this.#lastOffset = offset;
    if (this.#inputs === 0) this.#fromMs = entry.atMs;
    this.#toMs = entry.atMs;
    this.#inputs += 1;
    return { entry, input, before, step };
  }

  /** @param extra the oldest published event that no evidence record led to, if there is one */
  finish(extra?: GateEvent): ReplayResult {
    if (extra !== undefined && !this.isOver) this.#takeExtra(extra);
    const { decisions, fromMs, toMs } = { decisions: this.#decisions, fromMs: this.#fromMs, toMs: this.#toMs };
    const counted = { inputs: this.#inputs, decisions, fromMs, toMs, notes: [...this.#notes, ...this.#versionNote()] };
    if (this.#difference !== null) return { kind: "different", difference: this.#difference, ...counted };
    const events = this.#goneEvents;
    const missing: Missing[] = [
      ...(this.#missing === null ? [] : [this.#missing]),
      ...(events === null ? [] : [{ topic: "gate-events" as const, ...events, fromOffset: -1, toOffset: -1 }]),
    ];
    return missing.length > 0 ? { kind: "incomplete", missing, ...counted } : { kind: "same", ...counted };
  }

  #takeExtra(extra: GateEvent): void {
    if (extra.evidenceSeq > this.#state.seq) {
      this.#missing = { topic: "evidence", fromSeq: this.#state.seq + 1, toSeq: extra.evidenceSeq, fromOffset: this.#lastOffset + 1, toOffset: -1 };
      return;
    }
    this.#difference = {
      seq: extra.evidenceSeq,
      offset: -1,
      atMs: extra.atMs,
      input: "none",
      field: "gateEvent.id",
      recorded: extra.id,
      computed: null,
      message: `gate event ${extra.id} (${extra.action}) was published, but no evidence record led to it`,
    };
  }

  #end(entry: EvidenceEntry, offset: number, input: ReducerInput | null, found: Found | null): null {
    if (found !== null) this.#difference = { seq: entry.seq, offset, atMs: entry.atMs, input: showInput(entry, input), ...found };
    return null;
  }

  /** Whether the record is the next one. A first record after others: the decider had lost its state and began anew. */
  #follows(entry: EvidenceEntry, offset: number): boolean {
    const expected = this.#state.seq + 1;
    if (entry.seq === expected) return true;
    if (entry.seq === 1) {
      this.#notes.push(`at offset ${offset} the history begins anew: the decider had no state of the route (its rollout-state was lost)`);
      this.#state = initialState(this.#source.route);
      this.#lastHash = "";
      return true;
    }
    if (entry.seq > expected) {
      const { evidenceFromOffset } = this.#source;
      const isHead = this.#lastOffset < 0;
      const toOffset = isHead && evidenceFromOffset > 0 ? Math.min(evidenceFromOffset, offset) - 1 : offset - 1;
      this.#missing = { topic: "evidence", fromSeq: expected, toSeq: entry.seq - 1, fromOffset: this.#lastOffset + 1, toOffset };
      return false;
    }
    const message = `sequence ${entry.seq} comes after ${this.#state.seq}: the journal is not in order`;
    this.#end(entry, offset, readInput(entry), { field: "seq", recorded: entry.seq, computed: expected, message });
    return false;
  }

  #compare(entry: EvidenceEntry, published: readonly (GateEvent | undefined)[], before: RouteState, step: Step): Found | null {
    const computed = step.decisions.flatMap((decision) => (decision.kind === "gate-event" ? [decision.event] : []));
    if (this.#isExact && step.state === before) {
      return { field: "input", recorded: entry.kind, computed: null, message: "the input changes nothing here, but was recorded as one that did" };
    }
    const ids = computed.map(({ id }) => id);
    const differing = firstDifference(entry.gateEventIds, ids, "gateEventIds");
    if (differing !== null) {
      const what = (events: readonly (GateEvent | undefined)[]) => events.map((event) => event?.action ?? "an event that is not in gate-events").join(", ");
      return { ...differing, message: `recorded is ${what(published) || "no decision"}, computed ${what(computed) || "no decision"}` };
    }
    for (const [i, event] of computed.entries()) {
      const found = this.#compareEvent(entry, event, published[i]);
      if (found !== null) return found;
    }
    if (!this.#isExact || entry.epoch === step.state.epoch) return null;
    return { field: "epoch", recorded: entry.epoch, computed: step.state.epoch, message: "another epoch was published" };
  }

  #compareEvent({ seq }: EvidenceEntry, computed: GateEvent, published: GateEvent | undefined): Found | null {
    if (published === undefined) {
      if (!this.#source.isEventHeadGone || this.#hasSeenEvent) {
        return {
          field: "gateEvent.id",
          recorded: null,
          computed: computed.id,
          message: `gate event ${computed.id} (${computed.action}) is not in gate-events`,
        };
      }
      this.#goneEvents = { fromSeq: this.#goneEvents?.fromSeq ?? seq, toSeq: seq };
      this.#lastHash = null;
      return null;
    }
    const { deps } = this.#source;
    const found = compareEvent(published, computed, { isExact: this.#isExact, previousHash: this.#lastHash, deps });
    this.#hasSeenEvent = true;
    this.#lastHash = published.hash;
    if (found === null) this.#decisions += 1;
    return found;
  }

  /** Where another version decided, ids, hashes and numbers go on from what was recorded. */
  #continued(state: RouteState, entry: EvidenceEntry): RouteState {
    if (this.#isExact) return state;
    return { ...state, seq: entry.seq, lastHash: this.#lastHash ?? state.lastHash };
  }

  /** Evidence that another version has seen may have other numbers; that of an attempt which this version started has not. */
  #noteVersion({ codeVersion, action }: GateEvent): void {
    if (codeVersion !== this.#source.deps.codeVersion) {
      this.#isExact = false;
      this.#otherVersions.add(codeVersion);
    } else if (action === "started") this.#isExact = true;
  }

  #versionNote(): string[] {
    if (this.#otherVersions.size === 0) return [];
    const versions = [...this.#otherVersions].sort().join(", ");
    return [
      `decided by version ${versions}, recomputed by ${this.#source.deps.codeVersion}: in those attempts action, phase, step, condition and reasons are compared, not every number`,
    ];
  }
}

function tryReduce(state: RouteState, input: ReducerInput, deps: ReducerDeps): Step | Found {
  try {
    return reduce(state, input, deps);
  } catch (error) {
    return { field: "input", recorded: input.kind, computed: null, message: `the input is not one that a decider consumes (${String(error)})` };
  }
}

function unreadable(entry: EvidenceEntry): Found {
  return { field: "input", recorded: entry.input.slice(0, 200), computed: null, message: "the input is not one that a decider writes" };
}

function disagreeing(entry: EvidenceEntry, input: ReducerInput): Found | null {
  for (const field of ["kind", "atMs"] as const) {
    if (entry[field] !== input[field]) {
      return { field, recorded: entry[field], computed: input[field], message: `the record and its input disagree on ${field}` };
    }
  }
  return null;
}
