import type { Request } from "../../../../topics/index.ts";
import type { Assignment } from "../../../domain/routing/assign.ts";
import type { JsonObject } from "../../../domain/routing/merge-parameters.ts";
import type { RoutePolicy } from "../config.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { Attempted } from "./attempts.ts";
import type { InConversation } from "./conversations.ts";
import { type BodyTexts, fitBodies } from "./fit-bodies.ts";
import type { Upstream } from "./upstream.ts";
import { costOf } from "./usage.ts";
import type { CheckWhole } from "./whole-checks.ts";

/** A completed call before the log gives it its place: end, sequence and mark. */
export type CallRecord = Omit<Request, "kind" | "instance" | "seq" | "markMs" | "endedAtMs">;

/** What is known of a call before it is sent. */
export interface Call {
  readonly requestId: string;
  readonly route: string;
  readonly policy: RoutePolicy;
  readonly endpoint: Endpoint;
  /** As the caller sent it. */
  readonly text: string;
  readonly request: JsonObject;
  readonly stream: boolean;
  readonly subject: string;
  /** Whether anything named the subject; else the request is its own. */
  readonly isNamed: boolean;
  readonly traceId: string;
  readonly traceState: string;
  readonly slices: readonly string[];
  readonly turn: number;
  readonly conversation: InConversation;
  readonly reference: string | null;
  readonly startedAtMs: number;
  /** Name of the caller's key; empty where callers are not listed. */
  readonly caller: string;
  /** Version that an authorized header asks for; null: the subject decides. */
  readonly pin: string | null;
}

type Twin = NonNullable<Request["twin"]>;
/** The served side of a mirrored prompt. */
export interface ServedTwin {
  readonly twin: Twin;
  /** Not all of its answer was kept. */
  readonly isCut: boolean;
}

/** The served side of a mirrored prompt, as its shadow record carries it. */
export function twinOf(assignment: Assignment, exchanged: Attempted, upstream: Upstream): ServedTwin {
  const { status, firstErrorType, body, finishReason, latencyMs, ttftMs, outputTokens } = exchanged;
  const costUsd = costOf(exchanged, upstream.config.prices.get(assignment.version.model));
  const twin = { version: assignment.version.name, status, firstErrorType, responseBody: body, finishReason, latencyMs, ttftMs, outputTokens, costUsd };
  return { twin, isCut: exchanged.isCut };
}

function textsOf(call: Call, exchanged: Attempted, twin: Twin | null): BodyTexts {
  if (call.policy.bodies === "none") return { requestBody: null, responseBody: null, responseFormat: null, reference: null, twinBody: null };
  const format = call.endpoint.formatOf(call.request);
  return {
    requestBody: call.text,
    responseBody: exchanged.body,
    responseFormat: format === undefined || format === null ? null : JSON.stringify(format),
    reference: call.reference,
    twinBody: twin?.responseBody ?? null,
  };
}

/** What a record tells beside the call and its assignment. */
export interface RecordAbout {
  readonly exchanged: Attempted;
  readonly upstream: Upstream;
  readonly twin: ServedTwin | null;
  /** Runs the checks on what is about to be cut. */
  readonly checkWhole: CheckWhole;
  /** Version that answered the caller in this one's place. */
  readonly shieldedBy?: string;
}

/** The record of a completed call. */
export function recordOf(call: Call, assignment: Assignment, about: RecordAbout): CallRecord {
  const { exchanged, upstream, twin, shieldedBy = "" } = about;
  const { version, arm, exposure, rollout, attempt, step, epoch, paneMs, samplePpm } = assignment;
  const whole = textsOf(call, exchanged, twin?.twin ?? null);
  const { twinBody, cut: isTooLong, ...texts } = fitBodies(whole);
  const isKept = call.policy.bodies === "full";
  const cut = isTooLong || (isKept && (exchanged.isCut || twin?.isCut === true));
  const answered = exchanged.isCut ? null : { ...exchanged, responseBody: exchanged.body };
  const twinAnswered = twin === null || twin.isCut ? null : twin.twin;
  return {
    requestId: call.requestId,
    route: call.route,
    rollout,
    attempt,
    step,
    epoch,
    arm,
    version: version.name,
    exposure,
    subject: call.subject,
    traceId: call.traceId,
    slices: [...call.slices],
    paneMs,
    samplePpm,
    startedAtMs: call.startedAtMs,
    turn: call.turn,
    endpoint: call.endpoint.endpoint,
    operation: call.endpoint.operation,
    stream: call.stream,
    status: exchanged.status,
    errorType: exchanged.errorType,
    httpStatus: exchanged.httpStatus,
    finishReason: exchanged.finishReason,
    latencyMs: exchanged.latencyMs,
    ttftMs: exchanged.ttftMs,
    inputTokens: exchanged.inputTokens,
    outputTokens: exchanged.outputTokens,
    costUsd: costOf(exchanged, upstream.config.prices.get(version.model)),
    attempts: exchanged.attempts,
    firstErrorType: exchanged.firstErrorType,
    shieldedBy,
    pinned: call.pin !== null,
    caller: call.caller,
    traceState: call.traceState,
    upstream: upstream.config.name,
    upstreamModel: version.model,
    bodies: call.policy.bodies,
    cut,
    wholeChecks: cut ? about.checkWhole({ call, responseFormat: whole.responseFormat, answer: answered, twin: twinAnswered }) : null,
    ...texts,
    twin: twin === null ? null : { ...twin.twin, responseBody: twinBody },
  };
}
