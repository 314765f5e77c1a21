import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import { type Assignment, assign, assignContinued, assignStatic, assignStranger } from "../../../domain/routing/assign.ts";
import type { EffectiveTable } from "../../../domain/routing/effective-table.ts";
import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";
import type { SealedTokens } from "../../../runtime/sealed-tokens.ts";
import { type Caller, Callers } from "../access/callers.ts";
import { assignPinned, pinOf } from "../access/pin.ts";
import type { GatewayConfig } from "../config.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { type ApiError, apiErrors, sendError } from "../http/api-error.ts";
import { headerOf, textHeaderOf, upstreamHeaders } from "../http/headers.ts";
import { isTooDeep, MOST_LEVELS } from "../http/json-depth.ts";
import { type Uploads, unreadBody } from "../http/uploads.ts";
import type { EventClock } from "../log/event-clock.ts";
import type { GatewayMetrics } from "../metrics.ts";
import type { LiveRoutes } from "../routing/live-routes.ts";
import { type AccessLog, accessLog, noAccessLog } from "./access-log.ts";
import { type AnswerDeps, type Answered, answer, type Served } from "./answer.ts";
import { CallerSink } from "./caller-sink.ts";
import { isEncoded } from "./collect.ts";
import { type Conversations, responseIdOf } from "./conversations.ts";
import { answerDirectly, type Direct, directOf } from "./direct.ts";
import type { Exchanged } from "./exchange.ts";
import { type InFlight, type Room, Visit } from "./in-flight.ts";
import { KeyedHash } from "./keyed-hash.ts";
import { Leaving } from "./leaving.ts";
import type { Mirror } from "./mirror.ts";
import { MirroredSink } from "./mirrored-sink.ts";
import { outcomeTokenHeader } from "./outcome-token.ts";
import { type Call, type RecordAbout, recordOf, twinOf } from "./record.ts";
import type { Recorder } from "./recorder.ts";
import { uuidv7 } from "./request-id.ts";
import { slicesOf, subjectOf, traceIdOf, traceStateOf } from "./subject.ts";
import type { Upstream } from "./upstream.ts";
import type { CheckWhole } from "./whole-checks.ts";

export interface ServeDeps {
  readonly config: GatewayConfig;
  readonly subjectKey: string;
  /** null: answers carry no outcome tokens. */
  readonly tokens: SealedTokens | null;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly routes: LiveRoutes;
  readonly conversations: Conversations;
  readonly inFlight: InFlight;
  readonly uploads: Uploads;
  readonly recorder: Recorder;
  readonly mirror: Mirror;
  readonly checkWhole: CheckWhole;
  readonly clock: EventClock;
  readonly metrics: GatewayMetrics;
  readonly log: Logger;
}

/** A request that was let in. */
interface Incoming {
  readonly requestId: string;
  readonly endpoint: Endpoint;
  readonly caller: Caller;
  readonly bytes: Buffer;
  readonly visit: Visit;
}

type Parsed =
  | { readonly kind: "parsed"; readonly text: string; readonly request: JsonObject; readonly model: string }
  | { readonly kind: "wrong"; readonly error: ApiError };

function parse(bytes: Buffer): Parsed {
  const text = bytes.toString("utf8");
  if (isTooDeep(text)) return { kind: "wrong", error: apiErrors.tooDeep(MOST_LEVELS) };
  let request: unknown;
  try {
    request = JSON.parse(text);
  } catch (error) {
    // The parser's message can quote the body: only where it failed is told.
    const where = /position \d+/.exec((error as Error).message)?.[0] ?? "unexpected end or character";
    return { kind: "wrong", error: apiErrors.badJson(where) };
  }
  if (!isJsonObject(request)) return { kind: "wrong", error: apiErrors.badBody(null, "The body of your request must be a JSON object") };
  if (typeof request.model !== "string" || request.model === "") {
    return { kind: "wrong", error: apiErrors.badBody("model", "You must provide a model parameter: the name of a route") };
  }
  return { kind: "parsed", text, request, model: request.model };
}

/** Handles one call: reads, assigns, sends, passes on, records, mirrors. */
export class Serve {
  readonly #deps: ServeDeps;
  /** Who may call. */
  readonly callers: Callers;
  /** Largest body that any route accepts: how much is read before the route is known. */
  readonly #largestBody: number;
  readonly #running = new Set<Leaving>();
  readonly #answering: AnswerDeps;
  readonly #access: AccessLog;
  readonly #conversations: Conversations;
  readonly #hash: KeyedHash;

  constructor(deps: ServeDeps) {
    this.#deps = deps;
    this.#conversations = deps.conversations;
    this.#access = deps.config.accessLog ? accessLog(deps.log) : noAccessLog;
    this.callers = new Callers(deps.config.callers);
    this.#hash = new KeyedHash(deps.subjectKey);
    this.#answering = {
      upstreamOf: ({ upstream }) => {
        const found = deps.upstreams.get(upstream);
        if (found === undefined) throw new Error(`there is no upstream ${upstream}`);
        return found;
      },
      baselineOf: (route) => deps.routes.effective(route)?.routeTable.baseline ?? null,
      stillServes: (call, version) => this.#assign(call, deps.routes.effective(call.route))?.version.name === version.name,
    };
    const { defaults, routes } = deps.config;
    this.#largestBody = Math.max(defaults.maxBodyBytes, ...[...routes.values()].map(({ maxBodyBytes }) => maxBodyBytes));
  }

  /** Breaks off what still runs: the gateway may not wait any longer. */
  abortAll(): void {
    for (const running of this.#running) running.leave();
  }

  async handle(request: IncomingMessage, response: ServerResponse, endpoint: Endpoint): Promise<void> {
    const { inFlight, uploads, clock, config } = this.#deps;
    const requestId = uuidv7(clock.nowMs());
    const caller = this.callers.identify(request.headers);
    if (caller === null) {
      this.#reject(request, response, requestId, apiErrors.unknownCaller());
      return;
    }
    const encoding = headerOf(request.headers, "content-encoding");
    if (isEncoded(encoding)) {
      this.#reject(request, response, requestId, apiErrors.encodedBody(encoding ?? ""));
      return;
    }
    const visit = new Visit(inFlight, caller.name);
    try {
      const body = await uploads.read(request, this.#largestBody, visit.room);
      if (body.kind === "aborted") return;
      const reject = (error: ApiError) => this.#reject(request, response, requestId, error);
      if (body.kind !== "read") return reject(unreadBody(body.kind, { ...config, maxBodyBytes: this.#largestBody }));
      // Only now: whoever does not send its request may not take a place of those who do.
      if (!visit.enter()) return reject(apiErrors.gatewayBusy(config.maxInFlight));
      await this.#call(request, response, { requestId, endpoint, caller, bytes: body.bytes, visit });
    } catch (error) {
      this.#deps.log.error({ err: error, requestId }, "a call failed in the gateway itself");
      this.#reject(request, response, requestId, apiErrors.bug(requestId));
    } finally {
      visit.leave();
    }
  }

  #reject(request: IncomingMessage, response: ServerResponse, requestId: string, error: ApiError): void {
    this.#deps.metrics.rejected.inc({ code: error.code });
    this.#access.rejected({ requestId, status: error.status, code: error.code });
    const unread = !request.complete;
    // The rest of a body that nobody reads: the connection cannot be used again.
    sendError(response, error, { "x-headgate-request-id": requestId, ...(unread ? { connection: "close" } : {}) });
    if (unread) request.resume();
  }

  /** @returns when it is over; nothing when it was refused at once */
  #call(request: IncomingMessage, response: ServerResponse, about: Incoming): Promise<void> | undefined {
    const { routes, upstreams, config } = this.#deps;
    const reject = (error: ApiError): undefined => {
      this.#reject(request, response, about.requestId, error);
    };
    const parsed = parse(about.bytes);
    if (parsed.kind === "wrong") return reject(parsed.error);
    const unsupported = about.endpoint.unsupportedIn(parsed.request);
    if (unsupported !== null) return reject(apiErrors.unsupported(unsupported));
    const route = parsed.model;
    const pin = pinOf(request.headers, about.caller, config.pinSecretHash);
    const isRoute = routes.isServed(route);
    const direct = isRoute ? null : directOf(upstreams, route);
    // All models of an upstream together: callers could make up any number of names.
    const limited = direct === null ? route : `${direct.upstream.config.name}/`;
    if (!about.caller.mayCall(limited)) return reject(apiErrors.routeForbidden(route));
    if (pin.kind === "forbidden") return reject(apiErrors.pinForbidden());
    if (!isRoute && direct === null) return reject(apiErrors.unknownRoute(route));
    // Of a direct call there are no versions.
    if (direct !== null && pin.kind === "pinned") return reject(apiErrors.versionNotServed(route, pin.version));
    const policy = routes.policy(route);
    if (about.bytes.length > policy.maxBodyBytes) return reject(apiErrors.tooLarge(policy.maxBodyBytes));
    const begin = (waitS: number): Promise<void> | undefined => {
      if (waitS > 0) return reject(apiErrors.tooFast(waitS));
      if (!about.visit.enterRoute(limited, policy.maxInFlight)) return reject(apiErrors.routeBusy(limited, policy.maxInFlight));
      if (direct !== null) return this.#runDirectly(request, response, { ...about, parsed, direct });
      const call = this.#callOf(request, { ...about, parsed, route, policy, pin: pin.kind === "pinned" ? pin.version : null });
      return this.#run(request, response, { call, room: about.visit.room });
    };
    const taken = about.caller.take();
    return typeof taken === "number" ? begin(taken) : taken.then(begin);
  }

  #callOf(
    { headers }: IncomingMessage,
    about: Incoming & { parsed: Parsed & { kind: "parsed" }; route: string; policy: Call["policy"]; pin: string | null },
  ): Call {
    const { config, clock } = this.#deps;
    const { requestId, route, policy, pin, caller } = about;
    const { text, request } = about.parsed;
    const { subject, isNamed } = subjectOf(config.subject, this.#hash, { headers, request, requestId }, (of) => this.#conversations.subjectOf(of));
    const turn = about.endpoint.turnOf(request);
    return {
      requestId,
      route,
      policy,
      endpoint: about.endpoint,
      text,
      request,
      stream: request.stream === true,
      subject,
      isNamed,
      traceId: traceIdOf(headers, requestId),
      traceState: traceStateOf(headers),
      slices: slicesOf(config.slices, { route, request, headers }),
      turn,
      conversation: this.#conversations.of({ route, request, subject, turn, requestId }),
      reference: textHeaderOf(headers, "x-headgate-reference") ?? null,
      startedAtMs: clock.nowMs(),
      caller: caller.name,
      pin,
    };
  }

  /** Which version serves a call by a table, or by the configuration where there is none; null when none does, or not the one that it is pinned to. */
  #assign({ route, subject, isNamed, pin, conversation }: Call, effective: EffectiveTable | null): Assignment | null {
    const { routes, clock } = this.#deps;
    if (effective !== null && pin !== null) return assignPinned(effective, subject, pin);
    if (effective !== null && conversation.isStranger) return assignStranger(effective, assign(effective, subject), isNamed);
    if (effective !== null) return assignContinued(effective, assign(effective, subject), this.#conversations.versionOf(conversation, clock.nowMs()));
    const configured = routes.configured(route);
    return configured === null || (pin !== null && pin !== configured.name) ? null : assignStatic(configured);
  }

  async #run(request: IncomingMessage, response: ServerResponse, { call, room }: { readonly call: Call; readonly room: Room }): Promise<void> {
    const { routes, mirror, tokens } = this.#deps;
    const effective = routes.effective(call.route);
    const assignment = this.#assign(call, effective);
    if (assignment === null) {
      this.#reject(request, response, call.requestId, apiErrors.versionNotServed(call.route, call.pin ?? ""));
      return;
    }
    const tokenFor = (served: Assignment) => outcomeTokenHeader(tokens, { call, assignment: served, effective });
    const own = { "x-headgate-request-id": call.requestId, "x-headgate-route": call.route, ...tokenFor(assignment) };
    // What becomes of the baseline's answer says nothing of the candidate that failed.
    const onShield = (instead: Assignment) => void Object.assign(own, tokenFor(instead));
    const isMirrored = effective !== null && effective.routeTable.table.shadowPpm > 0;
    const mirroring = isMirrored ? mirror.of({ call, headers: request.headers, assignment, effective, room }) : null;
    const caller = new CallerSink(response, own, this.#deps.config.callerIdleMs);
    const sink = mirroring === null ? caller : new MirroredSink(caller, mirroring);
    const { leaving, over } = this.#watch(response);
    try {
      const answered = await answer(this.#answering, call, { assignment, headers: request.headers, leaving, sink, onShield });
      this.#answerFailure(response, (answered.shield ?? answered.assigned).exchanged, own);
      const { exchanged, upstream } = answered.assigned;
      this.#record(call, answered);
      mirroring?.settle(twinOf(assignment, exchanged, upstream));
    } catch (error) {
      mirroring?.abandon();
      throw error;
    } finally {
      over();
    }
  }

  /** @returns what tells that a call has to stop, because its caller has left or the gateway may not wait any longer; and what to do when it is over */
  #watch(response: ServerResponse): { readonly leaving: Leaving; readonly over: () => void } {
    const leaving = new Leaving();
    const onClose = () => {
      if (!response.writableFinished) leaving.leave();
    };
    response.once("close", onClose);
    if (response.destroyed) leaving.leave();
    this.#running.add(leaving);
    const over = () => {
      this.#running.delete(leaving);
      response.off("close", onClose);
    };
    return { leaving, over };
  }

  /** A call past the routes: no version, so no evidence and no record. */
  async #runDirectly(
    request: IncomingMessage,
    response: ServerResponse,
    about: { readonly requestId: string; readonly endpoint: Endpoint; readonly parsed: Parsed & { kind: "parsed" }; readonly direct: Direct },
  ): Promise<void> {
    const own = { "x-headgate-request-id": about.requestId };
    const { endpoint, direct } = about;
    const { text, request: body } = about.parsed;
    const headers = upstreamHeaders(request.headers, direct.upstream);
    const sink = new CallerSink(response, own, this.#deps.config.callerIdleMs);
    const { leaving, over } = this.#watch(response);
    try {
      const exchanged = await answerDirectly(direct, { endpoint, text, request: body, headers, leaving, sink });
      this.#answerFailure(response, exchanged, own);
      this.#deps.metrics.direct.inc({ upstream: direct.upstream.config.name, status: exchanged.status });
    } finally {
      over();
    }
  }

  /** Keeps which version goes on with the conversation. A failed call begins none: nobody has seen an answer of its version. */
  #remember(call: Call, { assignment, exchanged }: Served): void {
    if (call.pin !== null || exchanged.status !== "ok") return;
    const responseId = call.endpoint.endpoint === "/v1/responses" ? responseIdOf(exchanged.body) : null;
    // Nobody can go on with it: it may not take the place of a conversation that somebody can.
    if (!call.isNamed && responseId === null) return;
    this.#conversations.served(call.conversation, {
      version: assignment.version.name,
      subject: call.subject,
      responseId,
      nowMs: this.#deps.clock.nowMs(),
      body: exchanged.body,
      staysWith: (last) => {
        const effective = this.#deps.routes.effective(call.route);
        return effective !== null && assignContinued(effective, assignment, last) !== assignment;
      },
    });
  }

  /** One record of the version that was assigned, and one of the baseline when it answered in its place. */
  #record(call: Call, { assigned, shield }: Answered): void {
    const { recorder, metrics, clock, checkWhole } = this.#deps;
    this.#remember(call, assigned);
    const push = (of: Call, { assignment }: Served, about: RecordAbout) => {
      const record = recorder.record(of, () => recordOf(of, assignment, about));
      if (record !== null) this.#access.completed(record);
    };
    push(call, assigned, { ...assigned, twin: null, checkWhole, shieldedBy: shield?.assignment.version.name ?? "" });
    if (shield === null) return;
    metrics.shielded.inc({ route: call.route, version: assigned.assignment.version.name });
    push({ ...call, requestId: uuidv7(clock.nowMs()) }, shield, { ...shield, twin: null, checkWhole });
  }

  /** Tells the caller of a call that has no whole answer: in OpenAI's form before the first byte, by a broken connection after it. */
  #answerFailure(response: ServerResponse, exchanged: Exchanged, own: Readonly<Record<string, string>>): void {
    if (exchanged.failure !== null) {
      const { status, code, message } = exchanged.failure;
      sendError(response, apiErrors.upstreamFailed(status, code, message), own);
    } else if (exchanged.status === "cancelled") {
      if (response.destroyed) return;
      sendError(response, apiErrors.stopping(), own);
    }
  }
}
