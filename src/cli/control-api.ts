import { type ErrorCode, errorCodes } from "../errors/catalogue.ts";
import { KnownError } from "../errors/known-error.ts";
import { type Problem, showProblems } from "./problems.ts";
import { type ServerEvent, serverEvents } from "./server-events.ts";

export interface ControlApiOptions {
  /** For example http://127.0.0.1:7070 */
  readonly url: string;
  readonly token: string | undefined;
  /** Goes into the body of each write. */
  readonly actor: string;
  readonly fetch: typeof fetch;
}

interface ProblemAnswer {
  readonly code?: string;
  readonly detail?: string;
  readonly fix?: string;
  readonly errors?: readonly Problem[];
}

/** Longest wait for an answer, ms. Control itself waits for the decider, and for Kafka, for less. */
const ANSWER_MS = 30_000;

/** The control API as the command line calls it; every failure is a KnownError with the API's own code and fix. */
export class ControlApi {
  readonly #options: ControlApiOptions;

  constructor(options: ControlApiOptions) {
    this.#options = options;
  }

  async get<T>(path: string): Promise<T> {
    return (await this.#call("GET", path, undefined)) as T;
  }

  async post<T>(path: string, body: object): Promise<T> {
    return (await this.#call("POST", path, { ...body, actor: this.#options.actor })) as T;
  }

  async delete<T>(path: string, body: object): Promise<T> {
    return (await this.#call("DELETE", path, { ...body, actor: this.#options.actor })) as T;
  }

  /** Changes as they come, until the signal or the connection ends. */
  async *events(path: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
    const response = await this.#request("GET", path, { signal });
    if (response.body !== null) yield* serverEvents(response.body);
  }

  async #call(method: string, path: string, body: unknown): Promise<unknown> {
    const payload = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
    const response = await this.#request(method, path, { ...payload, signal: AbortSignal.timeout(ANSWER_MS) });
    const text = await response.text().catch((cause: unknown) => Promise.reject(this.#silent(method, cause)));
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new KnownError("CONTROL_UNREACHABLE", `what answers at ${this.#options.url} is not headgate control (${response.status}, no JSON)`, {
        fix: startIt,
        cause,
      });
    }
  }

  async #request(method: string, path: string, init: RequestInit): Promise<Response> {
    const { url, token, fetch } = this.#options;
    const headers = { ...(init.headers as Record<string, string> | undefined), ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
    let response: Response;
    try {
      response = await fetch(new URL(path, url), { ...init, method, headers });
    } catch (cause) {
      if (cause instanceof Error && cause.name === "TimeoutError") throw this.#silent(method, cause);
      if (init.signal?.aborted === true) throw cause;
      throw new KnownError("CONTROL_UNREACHABLE", `no control API answers at ${url}`, { fix: startIt, cause });
    }
    if (!response.ok) throw await refusal(response, url);
    return response;
  }

  #silent(method: string, cause: unknown): KnownError {
    const written = method === "GET" ? "" : "; it may have been written all the same";
    return new KnownError("CONTROL_UNREACHABLE", `no answer from ${this.#options.url} within ${ANSWER_MS / 1_000} s${written}`, {
      fix: "look at control (/readyz) and at what stands between; without it `headgate brake ROUTE --gateway URL` stops a candidate",
      cause,
    });
  }
}

const startIt = "start it with `headgate control` (or `headgate up`), or name it with --url or HEADGATE_CONTROL_URL";

async function refusal(response: Response, url: string): Promise<KnownError> {
  const text = await response.text();
  if (response.headers.get("content-type")?.startsWith("application/problem+json") !== true) {
    return new KnownError("CONTROL_UNREACHABLE", `${url} answered ${response.status}, but not as headgate control does`, { fix: startIt });
  }
  const problem = JSON.parse(text) as ProblemAnswer;
  const code = problem.code !== undefined && problem.code in errorCodes ? (problem.code as ErrorCode) : "CONTROL_UNREACHABLE";
  const about = [problem.detail ?? `control answered ${response.status}`, ...showProblems(problem.errors ?? [])].join("\n  ");
  return new KnownError(code, about, { fix: problem.fix ?? "look at the log of control" });
}
