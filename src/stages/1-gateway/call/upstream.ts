import type { ConnectionOptions } from "node:tls";
import { type buildConnector, type Dispatcher, Pool } from "undici";
import { readKey, readSecret, type TlsConfig, type TlsTexts, type UpstreamConfig, unusableTls } from "../upstream-config.ts";
import type { AnswerMemory } from "./answer-memory.ts";
import type { ToUpstream } from "./exchange.ts";
import { RetryBudget } from "./retry-budget.ts";

/** Versions with a budget of their own; names come from routing tables, so that more are seen only in years. */
const MOST_BUDGETS = 1_000;

/**
 * Longest head of an answer, bytes. Node's own limit of 16 KiB is made for requests; some answers bring more: policies, cookies and traces of the proxies
 * that they came through. Each call may take so much memory.
 */
const MOST_HEADER_BYTES = 64 * 1024;

/** What an upstream's files hold: its key, and what TLS needs. */
interface Secrets extends TlsTexts {
  readonly apiKey: string | null;
}

/** Why a file could not be read again, and what stays in use. */
export interface Unreadable {
  readonly upstream: string;
  readonly problem: string;
}

/** A configured upstream with its pool of kept-alive connections. One slow upstream never takes connections from another. */
export class Upstream {
  readonly config: UpstreamConfig;
  /** Of all upstreams together. */
  readonly memory: AnswerMemory;
  readonly #prefix: string;
  readonly #budgets = new Map<string, RetryBudget>();
  /** Pools of former certificates, until their last call is over. */
  readonly #retired = new Set<Pool>();
  #inFlight = 0;
  /** How mirrored calls that hold a place are told to give it up, the youngest last. */
  readonly #mirrors: (() => void)[] = [];
  #secrets: Secrets;
  #pool: Pool;

  /** @throws {Error} when one of its files, which were there when the configuration was read, is gone */
  constructor(config: UpstreamConfig, memory: AnswerMemory) {
    this.config = config;
    this.memory = memory;
    this.#prefix = config.baseUrl.pathname.replace(/\/+$/, "");
    const secrets = readSecrets(config);
    if ("problem" in secrets) throw new Error(`upstream ${config.name}: ${secrets.problem}`);
    this.#secrets = secrets;
    this.#pool = this.#openPool();
  }

  /** The upstream's key, as its file had it when it was last read. */
  get apiKey(): string | null {
    return this.#secrets.apiKey;
  }

  /**
   * Reads key and certificates again: they are rotated while the gateway runs. New calls use the new ones; a file that cannot be read, or is being
   * written, or a certificate whose key is not there yet, leaves the old ones in use.
   */
  refresh(): Unreadable | "changed" | "same" {
    const read = readSecrets(this.config);
    if ("problem" in read) return { upstream: this.config.name, problem: read.problem };
    const old = this.#secrets;
    const isOtherTls = old.ca !== read.ca || old.cert !== read.cert || old.key !== read.key;
    const unusable = isOtherTls ? unusableTls(read) : null;
    if (unusable !== null) return { upstream: this.config.name, problem: `tls: ${unusable}` };
    this.#secrets = read;
    if (isOtherTls) {
      const retired = this.#pool;
      this.#pool = this.#openPool();
      this.#retired.add(retired);
      const gone = () => void this.#retired.delete(retired);
      retired.close().then(gone, gone);
      return "changed";
    }
    return old.apiKey === read.apiKey ? "same" : "changed";
  }

  /** What one version may spend on retries: one that fails must not use up another's. */
  budgetOf(version: string): RetryBudget {
    let budget = this.#budgets.get(version);
    if (budget === undefined) {
      if (this.#budgets.size >= MOST_BUDGETS) this.#budgets.clear();
      budget = new RetryBudget(this.config.retries);
      this.#budgets.set(version, budget);
    }
    return budget;
  }

  /** Takes the place of one call, if need be a mirrored one's. @returns false when as many as may be are running; then it must not be left */
  enter(): boolean {
    if (this.#inFlight >= this.config.maxInFlight && !this.#displaceMirror()) return false;
    this.#inFlight++;
    return true;
  }

  /**
   * Takes a place for a mirrored call, as long as at least half of all are free.
   *
   * @param giveUp a function of this mirror alone, called when a caller's call needs the place, which is its own from then on
   * @returns leaves the place; does nothing when it was given up. null: there is none for mirrored calls
   */
  enterMirror(giveUp: () => void): (() => void) | null {
    if (this.#inFlight * 2 > this.config.maxInFlight) return null;
    this.#inFlight++;
    this.#mirrors.push(giveUp);
    return () => {
      const at = this.#mirrors.indexOf(giveUp);
      if (at < 0) return;
      this.#mirrors.splice(at, 1);
      this.#inFlight--;
    };
  }

  /** The youngest: it has cost the least so far, and how long a candidate takes must not decide which of its answers are seen. */
  #displaceMirror(): boolean {
    const giveUp = this.#mirrors.pop();
    if (giveUp === undefined) return false;
    this.#inFlight--;
    giveUp();
    return true;
  }

  leave(): void {
    this.#inFlight--;
  }

  /** Sends a call to its endpoint below the base address; `handler` hears what becomes of it. @throws when the call cannot be sent at all */
  send(call: Pick<ToUpstream, "endpoint" | "headers" | "body">, handler: Dispatcher.DispatchHandler): void {
    const path = `${this.#prefix}${call.endpoint.path}${this.config.baseUrl.search}`;
    this.#pool.dispatch({ path, method: "POST", headers: call.headers as Record<string, string | string[]>, body: call.body }, handler);
  }

  /** Breaks what is still running. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#pool, ...this.#retired].map((pool) => pool.destroy()));
  }

  /** How a connection to it is made now, also by whoever wants to know whether one can be: with the certificates that are in use. */
  get connecting(): buildConnector.BuildOptions {
    const { timeouts, tls } = this.config;
    // One call per connection: a stream that stalls must not hold others back.
    return { timeout: timeouts.connectMs, allowH2: false, ...(tls === null ? {} : tlsOptions(tls, this.#secrets)) };
  }

  #openPool(): Pool {
    const { baseUrl, connections, timeouts } = this.config;
    return new Pool(baseUrl.origin, {
      connections,
      connect: this.connecting,
      headersTimeout: timeouts.headersMs,
      bodyTimeout: timeouts.idleMs,
      maxHeaderSize: MOST_HEADER_BYTES,
      pipelining: 1,
      allowH2: false,
    });
  }
}

function tlsOptions(
  { serverName, acceptsAnyCertificate }: TlsConfig,
  { ca, cert, key }: Secrets,
): Pick<ConnectionOptions, "ca" | "cert" | "key" | "servername"> {
  return {
    ...(ca === null ? {} : { ca }),
    ...(cert === null || key === null ? {} : { cert, key }),
    ...(serverName === null ? {} : { servername: serverName }),
    ...(acceptsAnyCertificate ? { rejectUnauthorized: false } : {}),
  };
}

/** All files of an upstream, or why one cannot be used. Small files, read every few seconds: no need for asynchronous reading. */
function readSecrets({ apiKey, apiKeyFile, tls }: UpstreamConfig): Secrets | { readonly problem: string } {
  const contents: (string | null)[] = [];
  for (const path of [apiKeyFile, tls?.caFile, tls?.certFile, tls?.keyFile]) {
    const read = path === null || path === undefined ? { text: null } : (path === apiKeyFile ? readKey : readSecret)(path);
    if ("problem" in read) return read;
    contents.push(read.text);
  }
  const [ofFile = null, ca = null, cert = null, key = null] = contents;
  return { apiKey: ofFile ?? apiKey, ca, cert, key };
}
