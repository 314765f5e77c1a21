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
  upstreamFailed: (status: 502 | 504, code: string, message: string): ApiError => ({ status, message, type: "upstream_error", param: null, code }),
  bug: (requestId: string): ApiError => ({
    status: 500,
    message: `The gateway failed; its log tells why under request ${requestId}`,
    type: "server_error",
    param: null,
    code: "internal_error",
  }),
} as const;

/** Sends an error when nothing was sent yet; otherwise breaks the connection, because a half answer must not look whole. */
export function sendError(response: ServerResponse, error: ApiError, headers: Readonly<Record<string, string>> = {}): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { message, type, param, code } = error;
  sendJson(
    response,
    error.status,
    { error: { message, type, param, code } },
    error.retryAfterS === undefined ? headers : { ...headers, "retry-after": String(error.retryAfterS) },
  );
}

export function sendJson(response: ServerResponse, status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { "content-type": "application/json", "content-length": String(body.length), ...headers });
  response.end(body);
}
