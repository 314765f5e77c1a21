import type { OutgoingHttpHeaders } from "node:http";
import { type Dispatcher, Pool } from "undici";
import type { UpstreamConfig } from "../config.ts";

/** A configured upstream with its pool of kept-alive connections. One slow upstream never takes connections from another. */
export class Upstream {
  readonly config: UpstreamConfig;
  readonly #pool: Pool;

  constructor(config: UpstreamConfig) {
    this.config = config;
    this.#pool = new Pool(config.baseUrl.origin, {
      connections: config.connections,
      connect: { timeout: config.timeouts.connectMs },
      headersTimeout: config.timeouts.headersMs,
      bodyTimeout: config.timeouts.idleMs,
      pipelining: 1,
      // One call per connection: a stream that stalls must not hold others back.
      allowH2: false,
    });
  }

  /** @param call `path` is what follows the base address, for example `/chat/completions` */
  send(call: {
    readonly path: string;
    readonly headers: OutgoingHttpHeaders;
    readonly body: Buffer | string;
    readonly signal: AbortSignal;
  }): Promise<Dispatcher.ResponseData> {
    const { pathname, search } = this.config.baseUrl;
    const path = `${pathname.replace(/\/+$/, "")}${call.path}${search}`;
    return this.#pool.request({ path, method: "POST", headers: call.headers as Record<string, string | string[]>, body: call.body, signal: call.signal });
  }

  /** Breaks what is still running. */
  close(): Promise<void> {
    return this.#pool.destroy();
  }
}
