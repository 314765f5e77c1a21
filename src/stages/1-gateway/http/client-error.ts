import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { type ApiError, apiErrors, errorBody, sendError } from "./api-error.ts";

/** What is wrong with a request that is none in the eyes of the HTTP parser. */
function problemOf({ code }: NodeJS.ErrnoException): ApiError {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return apiErrors.headersTooLarge();
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return apiErrors.tooSlow();
    default:
      return apiErrors.notHttp(/^HPE_\w+$/.test(code ?? "") ? (code ?? "") : "it broke off");
  }
}

/** The bytes of an answer on a connection that has no response object yet. */
function answerOf(error: ApiError): string {
  const body = errorBody(error);
  const head = [`HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`, "content-type: application/json", `content-length: ${Buffer.byteLength(body)}`];
  return `${head.join("\r\n")}\r\nconnection: close\r\n\r\n${body}`;
}

const isRunning = (response: ServerResponse): boolean => !response.writableFinished;

/** Whether a response is the one to a request that has not come as a whole, and has not begun: what is wrong is wrong with that. */
const isOfBrokenRequest = ({ req, headersSent }: ServerResponse): boolean => !req.complete && !headersSent;

/**
 * Answers in OpenAI's shape what Node's server would refuse by itself, without a body that any SDK understands: requests that the parser refuses (400, 431), heads that do
 * not come in time (408), expectations other than 100-continue (417).
 *
 * @returns to be told of each request before it is handled; null: handle it, else it is answered already
 */
export function answerClientErrors(
  server: Server,
  onRejected: (error: ApiError) => void,
): (request: IncomingMessage, response: ServerResponse) => ApiError | null {
  /** The newest response of each connection behind the one before it, if that was not complete yet: requests may be pipelined, and answers go out in order. */
  const answering = new WeakMap<Duplex, readonly ServerResponse[]>();
  server.on("clientError", (cause: NodeJS.ErrnoException, socket: Duplex) => {
    const running = (answering.get(socket) ?? []).filter(isRunning);
    // A caller that is gone hears nothing. One that reads an answer, or waits for one, must not take another for it, or read it within it.
    if (cause.code === "ECONNRESET" || !socket.writable || running.length > 1 || !running.every(isOfBrokenRequest)) {
      socket.destroy();
      return;
    }
    const error = problemOf(cause);
    onRejected(error);
    socket.end(answerOf(error));
  });
  server.on("checkExpectation", (_, response: ServerResponse) => {
    onRejected(apiErrors.unknownExpectation());
    sendError(response, apiErrors.unknownExpectation(), { connection: "close" });
  });
  return (request, response) => {
    const before = answering.get(request.socket)?.at(-1);
    answering.set(request.socket, before !== undefined && isRunning(before) ? [before, response] : [response]);
    return request.headers.host === undefined && request.httpVersion === "1.1" ? apiErrors.notHttp("it has no Host header") : null;
  };
}
