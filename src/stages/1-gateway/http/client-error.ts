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
  const answering = new WeakMap<Duplex, ServerResponse>();
  server.on("clientError", (cause: NodeJS.ErrnoException, socket: Duplex) => {
    const response = answering.get(socket);
    // A caller that is gone hears nothing, and one that reads an answer must not read another within it.
    if (cause.code === "ECONNRESET" || !socket.writable || (response?.headersSent === true && !response.writableFinished)) {
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
    answering.set(request.socket, response);
    return request.headers.host === undefined && request.httpVersion === "1.1" ? apiErrors.notHttp("it has no Host header") : null;
  };
}
