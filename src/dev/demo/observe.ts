import type { GateEvent, Request, StateEntry, Topic } from "../../../topics/index.ts";
import { gateEvents, requests, rolloutState } from "../../../topics/index.ts";
import type { Incoming } from "../../runtime/port.ts";
import type { Story } from "./stories.ts";

/** What the topics say about one story. Everything the demo prints and judges comes from here. */
export interface Seen {
  readonly story: Story;
  readonly events: GateEvent[];
  state: StateEntry | undefined;
  /** Calls per version and exposure, from `requests`. */
  readonly calls: Map<string, number>;
  readonly exposedSubjects: Set<string>;
  firstCandidateCallMs: number | undefined;
  /** Starts of the candidate's calls, mirrored ones included, epoch ms. */
  readonly candidateStartsMs: number[];
}

export const observedTopics: readonly Topic[] = [gateEvents, rolloutState, requests];
export const observedFields = {
  requests: ["kind", "route", "version", "arm", "exposure", "epoch", "subject", "startedAtMs", "endedAtMs", "status"],
  "rollout-state": ["route", "phase", "condition", "step", "reasons", "message", "epoch", "atMs", "rollout", "attempt"],
} as const;

const isOver = (event: GateEvent) => event.action === "rolled_back" || event.action === "frozen";

/** Reads the story of each route from the topics, in whatever order their records arrive. */
export class Observer {
  readonly seen: ReadonlyMap<string, Seen>;
  readonly #onEvent: (seen: Seen, event: GateEvent) => void;

  constructor(stories: readonly Story[], onEvent: (seen: Seen, event: GateEvent) => void) {
    this.#onEvent = onEvent;
    this.seen = new Map(stories.map((story) => [story.route, emptySeen(story)]));
  }

  take(record: Incoming): void {
    if (record.value === null) return;
    if (record.topic === requests.name) this.#request(record.value as Request);
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

  /** Calls that users saw, so far. */
  servedCalls(): number {
    return [...this.seen.values()].flatMap(({ calls }) => [...calls]).reduce((sum, [key, calls]) => sum + (key.endsWith(" served") ? calls : 0), 0);
  }

  #request(call: Request): void {
    const seen = this.seen.get(call.route);
    if (!seen || call.kind !== "call") return;
    const key = `${call.version} ${call.exposure}`;
    seen.calls.set(key, (seen.calls.get(key) ?? 0) + 1);
    if (call.arm !== "candidate") return;
    seen.firstCandidateCallMs = Math.min(seen.firstCandidateCallMs ?? Number.POSITIVE_INFINITY, call.endedAtMs);
    seen.candidateStartsMs.push(call.startedAtMs);
    if (call.exposure === "served") seen.exposedSubjects.add(call.subject);
  }
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
export function endingOf(seen: Seen): "done" | "rolled_back" | "frozen_by_cohort" | undefined {
  const phase = seen.state?.phase;
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

/** Judges a story from what the topics said. */
export function rowOf(seen: Seen): Row {
  const { story } = seen;
  const ended = endingOf(seen);
  const stop = seen.events.find(isOver);
  const rollback = seen.events.find((event) => event.action === "rolled_back");
  const firstStepPpm = 10_000 * (story.spec.ladder?.[0] ?? 0);
  const highestSharePpm = Math.max(0, ...seen.events.map((event) => event.toSharePpm));
  const late = rollback === undefined ? 0 : seen.candidateStartsMs.filter((startMs) => startMs > rollback.atMs + obeyedWithinMs).length;
  const problems = [
    ...(ended === story.ending ? [] : [`ended ${ended ?? seen.state?.phase ?? "without a state"}`]),
    ...(late > 0 ? [`${late} candidate calls began more than ${obeyedWithinMs / 1000} s after the rollback`] : []),
    ...(story.ending === "rolled_back" && highestSharePpm > firstStepPpm ? ["caught only above the first step"] : []),
  ];
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
