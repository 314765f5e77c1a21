import { valueMeant } from "../config/parse-config.ts";
import { type ErrorCode, errorCodes } from "../errors/catalogue.ts";
import { KnownError } from "../errors/known-error.ts";
import type { Cli } from "./cli.ts";

/** What `GET /v1/status` of a gateway's admin port answers, as far as the command line shows it. */
export interface GatewayStatus {
  readonly instance: string;
  readonly connected: boolean;
  readonly routes: readonly { readonly route: string; readonly epoch: number; readonly braked: boolean; readonly hold: string | null }[];
  readonly remarks: readonly { readonly level: "error" | "warning"; readonly code: string; readonly message: string; readonly fix: string }[];
  /** Of a gateway of several processes each; all above is then of all together. */
  readonly workers?: readonly Omit<GatewayStatus, "workers">[];
}

/** Longest wait for an answer, ms. The state may wait for upstreams; a brake waits for workers that start, to brake and to keep it. */
const ANSWER_MS = { GET: 15_000, POST: 30_000 };

/** Calls a gateway's admin port, which answers without Kafka and control. */
export class GatewayAdmin {
  readonly #url: string;
  readonly #token: string;
  readonly #fetch: typeof fetch;

  private constructor(url: string, token: string, cli: Cli) {
    this.#url = url;
    this.#token = token;
    this.#fetch = cli.fetch;
  }

  /** @throws {KnownError} REQUEST_INVALID, CONFIG_INVALID when no token is known */
  static async of(cli: Cli, url: string): Promise<GatewayAdmin> {
    if (!URL.canParse(url))
      throw new KnownError("REQUEST_INVALID", `--gateway ${url} is not a URL`, { fix: "write for example --gateway http://10.0.0.7:8081" });
    const { HEADGATE_GATEWAY_ADMIN_TOKEN: token, HEADGATE_GATEWAY_ADMIN_TOKEN_FILE: file } = cli.env;
    const path = valueMeant(file);
    const known = valueMeant(token) ?? (path === undefined ? undefined : valueMeant(await cli.read(path)));
    if (known === undefined) {
      throw new KnownError("CONFIG_INVALID", "the admin port of a gateway needs its token", {
        fix: "set HEADGATE_GATEWAY_ADMIN_TOKEN or HEADGATE_GATEWAY_ADMIN_TOKEN_FILE, as the gateway has it",
      });
    }
    return new GatewayAdmin(url, known, cli);
  }

  /** @throws {KnownError} GATEWAY_UNREACHABLE, or what the gateway refused it with */
  async call<T>(method: "GET" | "POST", path: string, body?: object): Promise<T> {
    const payload = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers = { authorization: `Bearer ${this.#token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) };
    let response: Response;
    try {
      response = await this.#fetch(new URL(path, this.#url), { method, headers, ...payload, signal: AbortSignal.timeout(ANSWER_MS[method]) });
    } catch (cause) {
      const isSilent = cause instanceof Error && cause.name === "TimeoutError";
      throw this.#unreachable(isSilent ? `no answer within ${ANSWER_MS[method] / 1_000} s` : "nothing answers", cause);
    }
    const answer = (await response.json().catch(() => null)) as { code?: string; detail?: string; fix?: string } | null;
    if (response.ok && answer !== null) return answer as T;
    if (answer?.code === undefined || !(answer.code in errorCodes)) throw this.#unreachable(`what answers (${response.status}) is no admin port`);
    throw new KnownError(answer.code as ErrorCode, `${this.#url}: ${answer.detail ?? "refused"}`, { fix: answer.fix ?? "look at the gateway's log" });
  }

  #unreachable(problem: string, cause?: unknown): KnownError {
    return new KnownError("GATEWAY_UNREACHABLE", `${this.#url}: ${problem}`, {
      fix: "give the address of the admin port (HEADGATE_GATEWAY_ADMIN_PORT of the gateway), not of the port that callers use",
      cause,
    });
  }
}

/** For `--gateway URL`, which may be given several times. */
export const collected = (value: string, before: readonly string[] = []): string[] => [...before, value];
