import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import { type Outcome, outcomes } from "../../../../topics/index.ts";
import { readToken, tokenProblem } from "../../../domain/outcomes/read-token.ts";
import type { TokenCall } from "../../../domain/outcomes/token.ts";
import type { Appender, LogClient, Outgoing } from "../../../runtime/port.ts";
import type { SealedTokens } from "../../../runtime/sealed-tokens.ts";
import type { InFlight } from "../call/in-flight.ts";
import type { GatewayConfig } from "../config.ts";
import { type ApiError, apiErrors, sendError, sendJson } from "../http/api-error.ts";
import { type Uploads, unreadBody } from "../http/uploads.ts";
import type { GatewayMetrics } from "../metrics.ts";
import { Recent } from "../recent.ts";
import type { LiveRoutes } from "../routing/live-routes.ts";
import { type GivenOutcome, parseOutcomes, wrongFields } from "./parse-outcomes.ts";

/** Largest body of outcomes, bytes: 500 of them have room. */
const MOST_BYTES = 1024 * 1024;
/** Requests whose outcomes are being written at the same time; more are answered 503. */
const MOST_RUNNING = 64;
/** What their bodies take together is bounded as that of one caller: a token is looked at only when its body is there. No caller has this name. */
const SHARE = "/v1/outcomes";
/** Outcomes that are remembered as written, so that a token that is sent again and again fills no topic. */
const MOST_REMEMBERED = 100_000;
/** How long a caller waits for Kafka's acknowledgement, ms. */
const APPEND_BUDGET_MS = 5_000;

export interface IntakeDeps {
  /** null: no key is configured. */
  readonly tokens: SealedTokens | null;
  /** Says which signals of a route count outcomes now. */
  readonly routes: LiveRoutes;
  readonly metrics: GatewayMetrics;
  readonly log: Logger;
  readonly config: Pick<GatewayConfig, "maxBodyBytesInFlight" | "uploads">;
  readonly inFlight: InFlight;
  readonly uploads: Uploads;
}

interface Verified {
  readonly given: GivenOutcome;
  readonly call: TokenCall;
}

const keyOf = ({ given, call }: Verified): string => `${call.requestId}\n${given.signal}`;

/**
 * `POST /v1/outcomes`: checks the tokens and writes to `outcomes`, acknowledged by Kafka before the caller is answered. A repeat does no harm: of a call and
 * signal the aggregator counts the first outcome.
 */
export class OutcomeIntake {
  readonly #deps: IntakeDeps;
  #client: LogClient | null = null;
  #appender: Appender | null = null;
  #running = 0;
  /** What was written lately, by call and signal. */
  readonly #written = new Recent<true>(MOST_REMEMBERED);

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  /** From now on outcomes can be written. */
  connect(client: LogClient): void {
    this.#client = client;
  }

  async stop(): Promise<void> {
    this.#client = null;
    await this.#appender?.close();
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { inFlight } = this.#deps;
    // Whoever stops waits for these too: they may be written and not answered yet.
    inFlight.arrive();
    try {
      await this.#handle(request, response);
    } finally {
      inFlight.depart();
    }
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const reject = (error: ApiError) => {
      this.#deps.metrics.rejected.inc({ code: error.code });
      const unread = !request.complete;
      sendError(response, error, unread ? { connection: "close" } : {});
      if (unread) request.resume();
    };
    const { tokens, config } = this.#deps;
    if (tokens === null) return reject(apiErrors.outcomesOff());
    const body = await this.#read(request);
    if (body.kind === "aborted") return;
    if (body.kind !== "read") return reject(unreadBody(body.kind, { ...config, maxBodyBytes: MOST_BYTES }));
    // Only now: whoever does not send its outcomes may not take a place of those who do.
    if (this.#running >= MOST_RUNNING) return reject(apiErrors.gatewayBusy(MOST_RUNNING));
    this.#running++;
    try {
      await this.#take(tokens, body.bytes, { response, reject });
    } finally {
      this.#running--;
    }
  }

  async #take(tokens: SealedTokens, bytes: Buffer, { response, reject }: { response: ServerResponse; reject: (error: ApiError) => void }): Promise<void> {
    const parsed = parseOutcomes(bytes.toString("utf8"));
    if (parsed.kind === "wrong") return reject(parsed.error);
    const verified = this.#verify(tokens, parsed.outcomes);
    if (verified.kind === "wrong") return reject(verified.error);
    const fresh = this.#fresh(verified.outcomes);
    const failed = fresh.length === 0 ? null : await this.#write(fresh);
    if (failed !== null) return reject(failed);
    for (const outcome of fresh) {
      this.#written.set(keyOf(outcome), true);
      this.#deps.metrics.outcomes.inc({ route: outcome.call.route });
    }
    sendJson(response, 202, { accepted: verified.outcomes.length, notCounted: this.#notCounted(verified.outcomes) });
  }

  /** Its bytes count until it is complete: what comes then is short. */
  async #read(request: IncomingMessage): ReturnType<Uploads["read"]> {
    const { inFlight, uploads } = this.#deps;
    const room = inFlight.openRoom(SHARE);
    try {
      return await uploads.read(request, MOST_BYTES, room);
    } finally {
      room.leave();
    }
  }

  #verify(
    tokens: SealedTokens,
    given: readonly GivenOutcome[],
  ): { readonly kind: "verified"; readonly outcomes: readonly Verified[] } | { readonly kind: "wrong"; readonly error: ApiError } {
    const nowMs = Date.now();
    const problems: { path: string; message: string }[] = [];
    const verified: Verified[] = [];
    for (const outcome of given) {
      const read = readToken(tokens.open(outcome.token), nowMs);
      if (read.kind === "valid") verified.push({ given: outcome, call: read.call });
      else problems.push({ path: `${outcome.path}token`, message: tokenProblem(read.why) });
    }
    return problems.length > 0 ? { kind: "wrong", error: wrongFields(problems) } : { kind: "verified", outcomes: verified };
  }

  /** Those that were not written lately, each call and signal once: the first is the one that counts. */
  #fresh(verified: readonly Verified[]): Verified[] {
    const seen = new Set<string>();
    return verified.filter((outcome) => {
      const key = keyOf(outcome);
      if (seen.has(key) || this.#written.get(key) !== undefined) return false;
      seen.add(key);
      return true;
    });
  }

  async #write(verified: readonly Verified[]): Promise<ApiError | null> {
    const client = this.#client;
    if (client === null) return apiErrors.outcomesUnwritten("Kafka is not connected: nothing was written");
    this.#appender ??= client.openAppender({ retryBudgetMs: APPEND_BUDGET_MS });
    const occurredAtMs = Date.now();
    const records = verified.map(({ given: { token, signal, value, id, source } }): Outgoing => {
      const record: Outcome = { id, token, signal, value, occurredAtMs, source };
      return { topic: outcomes, partition: client.partitionFor(outcomes, token), key: token, value: record };
    });
    try {
      await this.#appender.append(records);
      return null;
    } catch (error) {
      this.#deps.log.warn({ err: error, outcomes: records.length }, "outcomes could not be written, or it is not known whether they were");
      return apiErrors.outcomesUnwritten("Kafka did not acknowledge in time, so that it is not known what was written");
    }
  }

  /** Names that are no outcome signal of their route now, each once: a misspelled one shows here. */
  #notCounted(verified: readonly Verified[]): string[] {
    const declared = (route: string) => this.#deps.routes.effective(route)?.routeTable.table.outcomes ?? [];
    const wrong = verified.filter(({ given, call }) => !declared(call.route).some(({ signal }) => signal === given.signal));
    return [...new Set(wrong.map(({ given }) => given.signal))];
  }
}
