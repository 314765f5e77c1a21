import type { GateEvent, Request, Score, StateEntry, Topic } from "../../../topics/index.ts";
import { gateEvents, requests, rolloutState, scores } from "../../../topics/index.ts";
import { GOLDEN_SLICE } from "../../domain/drift/golden.ts";
import type { Incoming } from "../../runtime/port.ts";
import type { Ending, Story } from "./stories.ts";

/** What the topics say about one story. Everything the demo prints and judges comes from here. */
export interface Seen {
  readonly story: Story;
  readonly events: GateEvent[];
  state: StateEntry | undefined;
  /** Calls per version and exposure, from `requests`. */
  readonly calls: Map<string, number>;
  readonly exposedSubjects: Set<string>;
  firstCandidateCallMs: number | undefined;
  /** Starts of the candidate's calls, mirrored ones included, epoch ms; in a story about drift, of the calls that the changed version answered. */
  readonly candidateStartsMs: number[];
  /** When the provider changed what is behind the candidate's name, epoch ms. */
  turnedAtMs: number | undefined;
}

export const observedTopics: readonly Topic[] = [gateEvents, rolloutState, requests, scores];
export const observedFields = {
  requests: ["instance", "seq", "kind", "route", "version", "arm", "exposure", "epoch", "subject", "startedAtMs", "endedAtMs", "status", "slices"],
  "rollout-state": ["route", "phase", "condition", "step", "reasons", "message", "epoch", "atMs", "rollout", "attempt", "watch"],
  scores: ["route", "endedAtMs"],
} as const;

const isReroute = (event: GateEvent) => event.action === "drifted" && event.reasons.includes("rerouted");
const isOver = (event: GateEvent) => event.action === "rolled_back" || event.action === "frozen" || isReroute(event);

/** Reads the story of each route from the topics, in whatever order their records arrive. */
export class Observer {
  readonly seen: ReadonlyMap<string, Seen>;
  /** The highest number so far, per instance and partition. */
  readonly #last = new Map<string, number>();
  readonly #onEvent: (seen: Seen, event: GateEvent) => void;
  readonly #onAge: (topic: string, ageMs: number) => void;

  /**
   * @param onEvent told of each gate event
   * @param onAge told how long ago the call ended, ms, of each record of a call or a score
   */
  constructor(stories: readonly Story[], onEvent: (seen: Seen, event: GateEvent) => void, onAge: (topic: string, ageMs: number) => void = () => undefined) {
    this.#onEvent = onEvent;
    this.#onAge = onAge;
    this.seen = new Map(stories.map((story) => [story.route, emptySeen(story)]));
  }

  take(record: Incoming): void {
    if (record.value === null) return;
    if (record.topic === requests.name && !this.#isRepeat(record.partition, record.value as Request)) this.#request(record.value as Request);
    if (record.topic === scores.name) this.#onAge(record.topic, Date.now() - (record.value as Score).endedAtMs);
    if (record.topic === rolloutState.name) {
      const entry = record.value as StateEntry;
      const seen = this.seen.get(entry.route);
      if (seen) seen.state = entry;
    }
    if (record.topic === gateEvents.name) {
      const event = record.value as GateEvent;
      const seen = this.seen.get(event.route);
      if (!seen) return;
      seen.events.push(event);
      this.#onEvent(seen, event);
    }
  }

  /** A gateway writes again what it does not know to be written, with the same numbers. */
  #isRepeat(partition: number, { instance, seq }: Request): boolean {
    const stream = `${instance}/${partition}`;
    if (seq <= (this.#last.get(stream) ?? 0)) return true;
    this.#last.set(stream, seq);
    return false;
  }

  /** Calls that users saw, so far. */
  servedCalls(): number {
    return [...this.seen.values()].flatMap(({ calls }) => [...calls]).reduce((sum, [key, calls]) => sum + (key.endsWith(" served") ? calls : 0), 0);
  }

  #request(call: Request): void {
    const seen = this.seen.get(call.route);
    if (!seen || call.kind !== "call" || call.slices.includes(GOLDEN_SLICE)) return;
    const key = `${call.version} ${call.exposure}`;
    seen.calls.set(key, (seen.calls.get(key) ?? 0) + 1);
    this.#onAge(requests.name, Date.now() - call.endedAtMs);
    if (!isOfInterest(seen, call)) return;
    seen.firstCandidateCallMs = Math.min(seen.firstCandidateCallMs ?? Number.POSITIVE_INFINITY, call.endedAtMs);
    seen.candidateStartsMs.push(call.startedAtMs);
    if (call.exposure === "served") seen.exposedSubjects.add(call.subject);
  }
}

/** Calls that harm may have come from: the candidate's, or what the changed version answered under the candidate's name. */
function isOfInterest({ story, turnedAtMs }: Seen, call: Request): boolean {
  if (story.turn === undefined) return call.arm === "candidate";
  return turnedAtMs !== undefined && call.version === story.candidate && call.startedAtMs >= turnedAtMs;
}

function emptySeen(story: Story): Seen {
  return {
    story,
    events: [],
    state: undefined,
    calls: new Map(),
    exposedSubjects: new Set(),
    firstCandidateCallMs: undefined,
    candidateStartsMs: [],
    turnedAtMs: undefined,
  };
}

const gateVerdict = (event: GateEvent, gate: "confidence" | "cohort") => event.gates.find((entry) => entry.gate === gate)?.verdict;

/** The event that shows the cohort gate alone holding a rollout whose confidence gate passes. */
export function frozenByCohortAlone(seen: Seen): GateEvent | undefined {
  const confidencePasses = seen.story.spec.confidence === "none" ? ["pass", "hold"] : ["pass"];
  return seen.events.findLast(
    (event) => event.condition === "frozen" && gateVerdict(event, "cohort") === "freeze" && confidencePasses.includes(gateVerdict(event, "confidence") ?? ""),
  );
}

/** Gateways obey within milliseconds; a call that began this long after the decision was not stopped by it. */
const obeyedWithinMs = 5000;

/** Where a story ended so far, or undefined while it runs. */
export function endingOf(seen: Seen): Ending | undefined {
  const phase = seen.state?.phase;
  if (seen.events.some(isReroute)) return "rerouted";
  // What the story is about begins where its rollout ends.
  if (seen.story.turn !== undefined && phase === "done") return undefined;
  if (phase === "done" || phase === "rolled_back") return phase;
  return seen.state?.condition === "frozen" && frozenByCohortAlone(seen) ? "frozen_by_cohort" : undefined;
}

/** The line of the final table. Times in seconds; absent where the story has no such moment. */
export interface Row {
  readonly route: string;
  readonly title: string;
  readonly expected: string;
  readonly ended: string;
  readonly right: boolean;
  readonly why: string;
  readonly exposedSubjects: number;
  readonly highestSharePercent: number;
  readonly breachToDecisionS: number | undefined;
  readonly decisionToLastCallS: number | undefined;
  readonly calls: Readonly<Record<string, number>>;
}

interface Outcome {
  readonly ended: Ending | undefined;
  readonly rollback: GateEvent | undefined;
  readonly highestSharePpm: number;
}

/** What is wrong with a story's ending. */
function problemsOf(seen: Seen, { ended, rollback, highestSharePpm }: Outcome): string[] {
  const { story, turnedAtMs } = seen;
  const firstStepPpm = 10_000 * (story.spec.ladder?.[0] ?? 0);
  const late = rollback === undefined ? 0 : seen.candidateStartsMs.filter((startMs) => startMs > rollback.atMs + obeyedWithinMs).length;
  const isTooEarly = story.ending === "rerouted" && (turnedAtMs === undefined || (rollback?.atMs ?? 0) < turnedAtMs);
  return [
    ...(ended === story.ending ? [] : [`ended ${ended ?? seen.state?.phase ?? "without a state"}`]),
    ...(late > 0 ? [`${late} candidate calls began more than ${obeyedWithinMs / 1000} s after the decision`] : []),
    ...(isTooEarly ? ["rerouted before anything had changed"] : []),
    ...(story.ending === "rolled_back" && highestSharePpm > firstStepPpm ? ["caught only above the first step"] : []),
  ];
}

/** Judges a story from what the topics said. */
export function rowOf(seen: Seen): Row {
  const { story } = seen;
  const ended = endingOf(seen);
  const rollback = seen.events.find((event) => event.action === "rolled_back" || isReroute(event));
  const stop = story.turn === undefined ? seen.events.find(isOver) : rollback;
  const highestSharePpm = Math.max(0, ...seen.events.map((event) => event.toSharePpm));
  const problems = problemsOf(seen, { ended, rollback, highestSharePpm });
  const decisive = story.ending === "frozen_by_cohort" ? frozenByCohortAlone(seen) : (rollback ?? seen.events.at(-1));
  return {
    route: story.route,
    title: story.title,
    expected: story.ending,
    ended: ended ?? seen.state?.phase ?? "unknown",
    right: problems.length === 0,
    why: problems.length > 0 ? problems.join("; ") : (decisive?.message ?? ""),
    exposedSubjects: seen.exposedSubjects.size,
    highestSharePercent: highestSharePpm / 10_000,
    breachToDecisionS: stop && seen.firstCandidateCallMs !== undefined ? (stop.atMs - seen.firstCandidateCallMs) / 1000 : undefined,
    decisionToLastCallS: rollback && seen.candidateStartsMs.length > 0 ? (Math.max(...seen.candidateStartsMs) - rollback.atMs) / 1000 : undefined,
    calls: Object.fromEntries(seen.calls),
  };
}
