import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Logger } from "pino";
import type { Registry } from "prom-client";
import type { Serve } from "../call/serve.ts";
import { endpoints } from "../endpoints/endpoints.ts";
import type { OutcomeIntake } from "../outcomes/intake.ts";
import { apiErrors, sendError, sendJson } from "./api-error.ts";
import { answerClientErrors } from "./client-error.ts";

export interface ServerDeps {
  readonly serve: Serve;
  readonly intake: OutcomeIntake;
  readonly metrics: Registry;
  /** Names of the routes that callers can ask for. */
  readonly routes: () => readonly string[];
  /** Whether callers should be sent here, and what to show to people who ask. */
  readonly readiness: () => { readonly ready: boolean; readonly [key: string]: unknown };
  /** Whether callers should go elsewhere: connections are not kept. */
  readonly isLeaving: () => boolean;
  /** Whether no new call is taken any more. */
  readonly isStopping: () => boolean;
  readonly startedAtMs: number;
  readonly log: Logger;
  /** A request was refused before anything looked at it. */
  readonly onRejected: (code: string) => void;
}

/** Where callers tell what became of earlier calls. */
const OUTCOMES = "/v1/outcomes";

const modelOf = (route: string, createdAtMs: number) => ({ id: route, object: "model", created: Math.floor(createdAtMs / 1000), owned_by: "headgate" });

function answerModels({ headers }: IncomingMessage, response: ServerResponse, about: { readonly path: string; readonly deps: ServerDeps }): void {
  const { path, deps } = about;
  const caller = deps.serve.callers.identify(headers);
  if (caller === null) {
    sendError(response, apiErrors.unknownCaller());
    return;
  }
  const routes = deps.routes().filter((route) => caller.mayCall(route));
  if (path === "/v1/models") {
    sendJson(response, 200, { object: "list", data: routes.map((route) => modelOf(route, deps.startedAtMs)) });
    return;
  }
  const asked = decoded(path.slice("/v1/models/".length));
  if (routes.includes(asked)) sendJson(response, 200, modelOf(asked, deps.startedAtMs));
  else sendError(response, apiErrors.unknownRoute(asked));
}

/** Without its query; also of a target in absolute form, which a server has to accept (RFC 9112, 3.2.2). */
function pathOf(target: string): string {
  const path = target.startsWith("/") || !URL.canParse(target) ? target : new URL(target).pathname;
  return path.split("?", 1)[0] ?? "/";
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function answerMetrics(response: ServerResponse, metrics: Registry): Promise<void> {
  try {
    const body = await metrics.metrics();
    response.writeHead(200, { "content-type": metrics.contentType });
    response.end(body);
  } catch {
    sendError(response, apiErrors.bug("metrics"));
  }
}

/** The gateway's HTTP server, not yet listening. */
export function gatewayServer(deps: ServerDeps): Server {
  const get = (path: string, request: IncomingMessage): ((response: ServerResponse) => void) | null => {
    if (path === "/healthz") return (response) => sendJson(response, 200, { status: "ok" });
    if (path === "/readyz") {
      return (response) => {
        const state = deps.readiness();
        // Routes, versions and epochs are not for callers that may see some routes only, and know no arm.
        sendJson(response, state.ready ? 200 : 503, deps.serve.callers.areListed ? { ready: state.ready } : state);
      };
    }
    if (path === "/metrics" && deps.serve.callers.areListed) return (response) => sendError(response, apiErrors.metricsElsewhere());
    if (path === "/metrics") return (response) => guarded(answerMetrics(response, deps.metrics), response);
    if (path === "/v1/models" || path.startsWith("/v1/models/")) return (response) => answerModels(request, response, { path, deps });
    return null;
  };
  // Whatever a request does, it may not end the process.
  const guarded = (work: Promise<void>, response: ServerResponse): void => {
    void work.catch((error: unknown) => {
      deps.log.error({ err: error }, "a request failed in the gateway itself");
      response.destroy();
    });
  };
  const post = (path: string): ((request: IncomingMessage, response: ServerResponse) => void) | null => {
    if (path === OUTCOMES) return (request, response) => guarded(deps.intake.handle(request, response), response);
    const endpoint = endpoints.get(path);
    return endpoint === undefined ? null : (request, response) => guarded(deps.serve.handle(request, response, endpoint), response);
  };
  const server = createServer({ keepAliveTimeout: 75_000, requestTimeout: 300_000, headersTimeout: 60_000, requireHostHeader: false });
  const begin = answerClientErrors(server, ({ code }) => deps.onRejected(code));
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const path = pathOf(request.url ?? "/");
    const method = request.method ?? "GET";
    if (deps.isLeaving()) response.setHeader("connection", "close");
    // A caller that goes away in the middle of an answer is no error of ours.
    response.on("error", () => undefined);
    const refused = begin(request, response);
    if (refused !== null) {
      deps.onRejected(refused.code);
      sendError(response, refused, { connection: "close" });
      return;
    }
    const posted = post(path);
    if (posted !== null) {
      if (method !== "POST") sendError(response, apiErrors.wrongMethod(method, "POST"), { allow: "POST" });
      else if (deps.isStopping()) sendError(response, apiErrors.stopping());
      else posted(request, response);
      return;
    }
    const answer = get(path, request);
    if (answer === null) sendError(response, apiErrors.unknownPath(method, path));
    else if (method !== "GET" && method !== "HEAD") sendError(response, apiErrors.wrongMethod(method, "GET"), { allow: "GET" });
    else answer(response);
  });
  return server;
}
