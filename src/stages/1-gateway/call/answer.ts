import type { IncomingHttpHeaders } from "node:http";
import type { Assignment } from "../../../domain/routing/assign.ts";
import type { Version } from "../../../domain/routing/route-table.ts";
import { addTrace, upstreamHeaders, withoutIdempotencyKey } from "../http/headers.ts";
import { type Attempted, askVersion } from "./attempts.ts";
import type { Sink } from "./exchange.ts";
import { HoldingSink } from "./holding-sink.ts";
import type { Leaving } from "./leaving.ts";
import type { Call } from "./record.ts";
import type { Upstream } from "./upstream.ts";
import { asksForUsage, upstreamBody } from "./upstream-request.ts";

/** How one version served a call. */
export interface Served {
  readonly assignment: Assignment;
  readonly upstream: Upstream;
  readonly exchanged: Attempted;
}
/** How a call was answered. */
export interface Answered {
  /** As it was assigned: what counts. */
  readonly assigned: Served;
  /** The baseline, when it answered in the place of a candidate that failed. */
  readonly shield: Served | null;
}

export interface AnswerDeps {
  readonly upstreamOf: (version: Version) => Upstream;
  /** The baseline of the route's newest table; null when there is no table. */
  readonly baselineOf: (route: string) => Version | null;
  /** Whether this version may still serve the call. */
  readonly stillServes: (call: Call, version: Version) => boolean;
}

export interface AnswerAbout {
  readonly assignment: Assignment;
  readonly headers: IncomingHttpHeaders;
  readonly leaving: Leaving;
  readonly sink: Sink;
  /** The baseline answers instead, under this assignment; told before the sink gets its answer. */
  readonly onShield: (assignment: Assignment) => void;
}

/**
 * Answers a call from the version that it is assigned to. Only where the route's policy is `shield: baseline`, a candidate that fails before its first
 * byte is replaced by the baseline, in the same call; both are told.
 */
export async function answer(deps: AnswerDeps, call: Call, about: AnswerAbout): Promise<Answered> {
  const startedAt = performance.now();
  const ask = (assignment: Assignment, isShielded: boolean) => {
    const { version } = assignment;
    const upstream = deps.upstreamOf(version);
    const sink = new HoldingSink(about.sink, isShielded || upstream.config.retries.on.includes("reset"));
    const hidesUsage = asksForUsage(call.endpoint, call.request, upstream.config);
    const body = upstreamBody(call, version, hidesUsage);
    const callers = upstreamHeaders(about.headers, upstream);
    const isInstead = assignment !== about.assignment;
    const headers = addTrace(isInstead ? withoutIdempotencyKey(callers) : callers, call);
    const toUpstream = { endpoint: call.endpoint, headers, body, hidesUsage, leaving: about.leaving, sink };
    const asked = askVersion(upstream, toUpstream, { version: version.name, mayRepeat: () => deps.stillServes(call, version), startedAt });
    return { upstream, sink, asked };
  };

  const { assignment } = about;
  // Whoever pins a version wants to see how it fails.
  const baseline = call.policy.shield === "baseline" && call.pin === null ? deps.baselineOf(call.route) : null;
  const isSame = baseline === null || baseline.name === assignment.version.name;
  // What another upstream has stored cannot be asked of the baseline's.
  const isTied = baseline?.upstream !== assignment.version.upstream && call.endpoint.statefulBy(call.request) !== null;
  const replacement = isSame || isTied ? null : baseline;
  const { upstream, sink, asked } = ask(assignment, replacement !== null);
  const assigned = { assignment, upstream, exchanged: await asked };
  const { status, failure } = assigned.exchanged;
  if (replacement !== null && (status === "error" || status === "timeout") && !sink.isShown) {
    // Nobody's evidence: the subject belongs to the candidate's arm.
    const instead = { ...assignment, version: replacement, arm: "none", samplePpm: 0 } as const;
    about.onShield(instead);
    const other = ask(instead, false);
    const shield = { assignment: instead, upstream: other.upstream, exchanged: await other.asked };
    if (shield.exchanged.failure === null) await other.sink.release();
    return { assigned, shield };
  }
  if (failure === null && status !== "cancelled") await sink.release();
  return { assigned, shield: null };
}
