import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { type Logger, pino } from "pino";
import { Registry } from "prom-client";
import { hash32 } from "../../../../src/domain/hash/hash32.ts";
import type { Appender, Incoming, LogClient, Outgoing, Table } from "../../../../src/runtime/port.ts";
import type { SealedTokens } from "../../../../src/runtime/sealed-tokens.ts";
import { parseGatewayFile } from "../../../../src/stages/1-gateway/config.ts";
import { type Gateway, startGateway } from "../../../../src/stages/1-gateway/gateway.ts";
import { type Brake, brakes, type FleetReport, type Request, type RoutingTable, routing, type Topic } from "../../../../topics/index.ts";
import { until } from "../../../fixtures/until.ts";

export { until };

/** What an upstream was asked. */
export interface Asked {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly body: Record<string, unknown>;
}
export type Answer = (asked: Asked, response: ServerResponse, request: IncomingMessage) => void | Promise<void>;

export interface TestUpstream {
  readonly url: string;
  readonly asked: Asked[];
  answer: Answer;
}

export const completion = (content: string) => ({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1_700_000_000,
  model: "model-a",
  choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
  usage: { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14 },
});

export function answerJson(response: ServerResponse, value: unknown, status = 200): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)), "x-request-id": "upstream-1" });
  response.end(body);
}

/** A local OpenAI-compatible upstream; by default it answers every chat completion with `hello`. */
export async function testUpstream(t: TestContext): Promise<TestUpstream> {
  const upstream: { url: string; asked: Asked[]; answer: Answer } = { url: "", asked: [], answer: (_, response) => answerJson(response, completion("hello")) };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString("utf8");
    const asked = { path: request.url ?? "", headers: request.headers, text, body: JSON.parse(text) as Record<string, unknown> };
    upstream.asked.push(asked);
    await upstream.answer(asked, response, request);
  });
  // Tests open thousands of connections at once.
  server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 });
  await once(server, "listening");
  upstream.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return upstream;
}

class MemoryTable<V> implements Table<V> {
  readonly #values = new Map<string, V>();
  readonly #listeners: ((key: string, value: V | undefined, record: Incoming<V>) => void)[] = [];
  fresh = Date.now();
  readonly ready = Promise.resolve();
  get(key: string): V | undefined {
    return this.#values.get(key);
  }
  entries(): IterableIterator<[string, V]> {
    return this.#values.entries();
  }
  get size(): number {
    return this.#values.size;
  }
  onChange(listener: (key: string, value: V | undefined, record: Incoming<V>) => void): void {
    this.#listeners.push(listener);
  }
  freshAtMs(): number {
    return this.fresh;
  }
  async close(): Promise<void> {}
  put(key: string, value: V): void {
    this.#values.set(key, value);
    this.#tell(key, value);
  }
  remove(key: string): void {
    this.#values.delete(key);
    this.#tell(key, undefined);
  }
  #tell(key: string, value: V | undefined): void {
    const record = { topic: "", partition: 0, offset: 0, key, appendedAtMs: 0, value: value ?? null, headers: {} };
    for (const listener of this.#listeners) listener(key, value, record);
  }
}

/** A log in memory with the runtime's port: what was appended, in order, and tables that a test can change. */
export class MemoryLog {
  readonly partitions = 2;
  readonly tables = { routing: new MemoryTable<RoutingTable>(), brakes: new MemoryTable<Brake>() };
  readonly appended: Outgoing[] = [];
  /** Called before each append; a rejection makes the append fail after nothing, or after everything, was written. */
  beforeAppend: (records: readonly Outgoing[]) => Promise<void> = async () => undefined;

  appender(): Appender {
    return {
      append: async (records) => {
        await this.beforeAppend(records);
        this.appended.push(...records);
      },
      close: async () => undefined,
    };
  }

  client(): LogClient {
    const table = (topic: Topic) => (topic.name === routing.name ? this.tables.routing : topic.name === brakes.name ? this.tables.brakes : undefined);
    return {
      prefix: "test.",
      partitionsOf: () => this.partitions,
      partitionFor: (_: Topic, key: string) => hash32(key) % this.partitions,
      runRole: () => Promise.reject(new Error("not here")),
      openTable: (topic: Topic) => table(topic) ?? new MemoryTable(),
      follow: () => ({ caughtUp: Promise.resolve(), close: async () => undefined }),
      openAppender: () => this.appender(),
      close: async () => undefined,
    } as unknown as LogClient;
  }

  requests(): Request[] {
    return this.appended.flatMap(({ topic, value }) => (topic.name === "requests" ? [value as Request] : []));
  }

  calls(): Request[] {
    return this.requests().filter(({ kind }) => kind === "call");
  }

  reports(): FleetReport[] {
    return this.appended.flatMap(({ topic, value }) => (topic.name === "fleet" ? [value as FleetReport] : []));
  }
}

export interface TestGateway extends Gateway {
  readonly log: MemoryLog;
  readonly registry: Registry;
  chat(body: unknown, init?: { headers?: Record<string, string>; signal?: AbortSignal }): Promise<Response>;
}

export const silentLog = pino({ level: "silent" });

/** A gateway on a free port, with a log in memory. `yaml` is its file. */
export async function testGateway(
  t: TestContext,
  yaml: string,
  options: {
    connect?: () => Promise<LogClient>;
    env?: Record<string, string>;
    logger?: Logger;
    instance?: string;
    prefix?: string;
    /** Its file on disk, which is read again; absent: nowhere. */
    path?: string;
    tokens?: SealedTokens;
    adminToken?: string;
    /** See `GatewayOptions`. */
    silenceMs?: number;
    drain?: { readonly lameDuckMs: number; readonly finishMs: number };
  } = {},
): Promise<TestGateway> {
  const log = new MemoryLog();
  const registry = new Registry();
  const gateway = await startGateway({
    config: parseGatewayFile("test.yaml", yaml, options.env ?? {}),
    admin: options.adminToken === undefined ? null : { host: "127.0.0.1", port: 0, token: options.adminToken },
    subjectKey: "a test key of some length",
    tokens: options.tokens ?? null,
    instance: options.instance ?? "gateway-1",
    prefix: options.prefix ?? "test.",
    file: options.path === undefined ? null : { path: options.path, env: options.env ?? {} },
    host: "127.0.0.1",
    port: 0,
    log: options.logger ?? silentLog,
    metrics: registry,
    connect: options.connect ?? (() => Promise.resolve(log.client())),
    ...(options.silenceMs === undefined ? {} : { silenceMs: options.silenceMs }),
    ...(options.drain === undefined ? {} : { drain: options.drain }),
  });
  t.after(() => gateway.stop());
  if (options.connect === undefined) await until("the gateway is ready", () => gateway.isReady());
  return {
    ...gateway,
    log,
    registry,
    chat: (body, init = {}) =>
      fetch(`${gateway.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", ...init.headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
        ...(init.signal === undefined ? {} : { signal: init.signal }),
      }),
  };
}

/** A gateway's file with the upstreams `one` and `two` and the static route `support-answer`. */
export function fileFor(one: TestUpstream, two: TestUpstream = one, extra = ""): string {
  return `
upstreams:
  one: { baseUrl: "${one.url}", prices: { model-a: { inputPerMillion: 2, outputPerMillion: 10 } } }
  two: { baseUrl: "${two.url}" }
routes:
  support-answer: { baseline: { version: a@1, upstream: one, model: model-a } }
${extra}`;
}

export const ask = (content = "hi", more: Record<string, unknown> = {}) => ({ model: "support-answer", messages: [{ role: "user", content }], ...more });
