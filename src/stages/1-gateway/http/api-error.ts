import type { ServerResponse } from "node:http";

/** An answer of the gateway itself, in the shape in which OpenAI's API tells errors, so that every SDK understands it. */
export interface ApiError {
  readonly status: number;
  readonly message: string;
  readonly type: "invalid_request_error" | "rate_limit_error" | "server_error" | "upstream_error";
  readonly param: string | null;
  readonly code: string;
  /** Seconds after which a retry makes sense. */
  readonly retryAfterS?: number;
}

export const apiErrors = {
  badJson: (reason: string): ApiError => ({
    status: 400,
    message: `The body of your request is not valid JSON: ${reason}`,
    type: "invalid_request_error",
    param: null,
    code: "invalid_json",
  }),
  tooDeep: (levels: number): ApiError => ({
    status: 400,
    message: `The body of your request nests arrays and objects deeper than the ${levels} levels that are accepted here`,
    type: "invalid_request_error",
    param: null,
    code: "json_too_deep",
  }),
  badBody: (param: string | null, message: string): ApiError => ({ status: 400, message, type: "invalid_request_error", param, code: "invalid_body" }),
  unsupported: (param: string): ApiError => ({
    status: 400,
    message: `This gateway does not support the parameter ${param}: what it asks for would have to be fetched later from the upstream that has it`,
    type: "invalid_request_error",
    param,
    code: "unsupported_parameter",
  }),
  tooLarge: (maxBytes: number): ApiError => ({
    status: 413,
    message: `The body of your request is larger than the ${maxBytes} bytes that are accepted here`,
    type: "invalid_request_error",
    param: null,
    code: "request_too_large",
  }),
  encodedBody: (encoding: string): ApiError => ({
    status: 415,
    message: `The body of your request is encoded (${encoding.slice(0, 32)}): send it as it is`,
    type: "invalid_request_error",
    param: null,
    code: "unsupported_encoding",
  }),
  notHttp: (problem: string): ApiError => ({
    status: 400,
    message: `Your request is not valid HTTP: ${problem}`,
    type: "invalid_request_error",
    param: null,
    code: "invalid_http",
  }),
  headersTooLarge: (): ApiError => ({
    status: 431,
    message: "The headers of your request are larger than the 16 KiB that are accepted here",
    type: "invalid_request_error",
    param: null,
    code: "headers_too_large",
  }),
  unknownExpectation: (): ApiError => ({
    status: 417,
    message: "This server knows no Expect header but 100-continue",
    type: "invalid_request_error",
    param: null,
    code: "unknown_expectation",
  }),
  tooSlow: (): ApiError => ({
    status: 408,
    message: "The body of your request did not come in time: it was silent for too long, too slow, or had to give way to others",
    type: "invalid_request_error",
    param: null,
    code: "request_timeout",
  }),
  tooManyUploads: (max: number): ApiError => ({
    status: 503,
    message: `${max} request bodies are already being read by this gateway`,
    type: "server_error",
    param: null,
    code: "gateway_overloaded",
    retryAfterS: 1,
  }),
  unknownRoute: (model: string): ApiError => ({
    status: 404,
    message: `The model '${model.slice(0, 128)}' does not exist: it is not a route of this gateway. GET /v1/models lists the routes`,
    type: "invalid_request_error",
    param: "model",
    code: "model_not_found",
  }),
  unknownPath: (method: string, path: string): ApiError => ({
    status: 404,
    message: `Unknown request URL: ${method} ${path}`,
    type: "invalid_request_error",
    param: null,
    code: "unknown_url",
  }),
  wrongMethod: (method: string, allowed: string): ApiError => ({
    status: 405,
    message: `${method} is not allowed here, use ${allowed}`,
    type: "invalid_request_error",
    param: null,
    code: "method_not_allowed",
  }),
  unknownCaller: (): ApiError => ({
    status: 401,
    message: "Incorrect API key provided, or none: this gateway takes `Authorization: Bearer KEY` with a key that it knows",
    type: "invalid_request_error",
    param: null,
    code: "invalid_api_key",
  }),
  routeForbidden: (route: string): ApiError => ({
    status: 403,
    message: `Your API key may not call '${route.slice(0, 128)}'. GET /v1/models lists what it may call`,
    type: "invalid_request_error",
    param: "model",
    code: "route_not_allowed",
  }),
  tooFast: (retryAfterS: number): ApiError => ({
    status: 429,
    message: `Your API key has used up its rate on this gateway. Try again in ${retryAfterS} s`,
    type: "rate_limit_error",
    param: null,
    code: "rate_limit_exceeded",
    retryAfterS,
  }),
  pinForbidden: (): ApiError => ({
    status: 403,
    message: "x-headgate-pin needs an API key that may pin, or the right x-headgate-pin-secret",
    type: "invalid_request_error",
    param: null,
    code: "pin_not_allowed",
  }),
  versionNotServed: (route: string, version: string): ApiError => ({
    status: 404,
    message: `'${version.slice(0, 128)}' is no version that '${route}' serves now: it is not in its routing table, or a brake or age of the table forbids it`,
    type: "invalid_request_error",
    param: null,
    code: "version_not_served",
  }),
  routeBusy: (route: string, max: number): ApiError => ({
    status: 429,
    message: `${max} calls of ${route} are already running on this gateway`,
    type: "rate_limit_error",
    param: null,
    code: "route_concurrency_exceeded",
    retryAfterS: 1,
  }),
  gatewayBusy: (max: number): ApiError => ({
    status: 503,
    message: `${max} calls are already running on this gateway`,
    type: "server_error",
    param: null,
    code: "gateway_overloaded",
    retryAfterS: 1,
  }),
  gatewayFull: (maxBytes: number): ApiError => ({
    status: 503,
    message: `The requests that are running on this gateway hold all of the ${maxBytes} bytes that it keeps for their bodies, or all that your API key may hold of them`,
    type: "server_error",
    param: null,
    code: "gateway_overloaded",
    retryAfterS: 1,
  }),
  metricsElsewhere: (): ApiError => ({
    status: 404,
    message: "Where callers are listed, metrics are served at HEADGATE_PORT only, and the gateway's state at its admin port",
    type: "invalid_request_error",
    param: null,
    code: "metrics_elsewhere",
  }),
  stopping: (): ApiError => ({
    status: 503,
    message: "This gateway is stopping",
    type: "server_error",
    param: null,
    code: "gateway_stopping",
    retryAfterS: 1,
  }),
  outcomesOff: (): ApiError => ({
    status: 404,
    message: "This gateway takes no outcomes: set HEADGATE_TOKEN_KEY on gateways and aggregators",
    type: "invalid_request_error",
    param: null,
    code: "outcomes_off",
  }),
  outcomesUnwritten: (what: string): ApiError => ({
    status: 503,
    message: `${what}. Send the same again: of a call and signal one outcome counts`,
    type: "server_error",
    param: null,
    code: "outcomes_not_written",
    retryAfterS: 1,
  }),
  upstreamFailed: (status: 502 | 503 | 504, code: string, message: string): ApiError => {
    const error = { status, message, type: "upstream_error", param: null, code } as const;
    return status === 503 ? { ...error, retryAfterS: 1 } : error;
  },
  bug: (requestId: string): ApiError => ({
    status: 500,
    message: `The gateway failed; its log tells why under request ${requestId}`,
    type: "server_error",
    param: null,
    code: "internal_error",
  }),
} as const;

/** Sends an error when nothing was sent yet; otherwise breaks the connection, because a half answer must not look whole. What is whole stays. */
export function sendError(response: ServerResponse, error: ApiError, headers: Readonly<Record<string, string>> = {}): void {
  if (response.headersSent) {
    if (!response.writableEnded) response.destroy();
    return;
  }
  sendText(response, error.status, errorBody(error), error.retryAfterS === undefined ? headers : { ...headers, "retry-after": String(error.retryAfterS) });
}

/** An error as OpenAI's API writes it. */
export const errorBody = ({ message, type, param, code }: ApiError): string => JSON.stringify({ error: { message, type, param, code } });

export function sendJson(response: ServerResponse, status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): void {
  sendText(response, status, JSON.stringify(value), headers);
}

function sendText(response: ServerResponse, status: number, text: string, headers: Readonly<Record<string, string>>): void {
  const body = Buffer.from(text);
  response.writeHead(status, { "content-type": "application/json", "content-length": String(body.length), ...headers });
  response.end(body);
}
