import type { Started } from "./processes.ts";

/** A way from the load generator to the upstream: none, or through a proxy. */
export interface Contender {
  readonly name: string;
  readonly port: number;
  /** Path of its chat completions. */
  readonly path: string;
  /** What it wants as `model`. */
  readonly model: string;
  readonly headers: Readonly<Record<string, string>>;
  /** null: the way without a proxy. */
  readonly started: Started | null;
  /** Waits until it has done what it puts off, so that its work does not fall into another one's time. */
  readonly settle: () => Promise<void>;
  /** What there is to tell about it at the end, for example records that it lost; empty: nothing. */
  readonly remark: () => Promise<string>;
}

const SUBJECTS = 128;
const system =
  "You answer questions of our customers about their orders. Be friendly and brief. Say only what the order's record says, and when it does not " +
  "answer the question, say that you do not know and offer to pass it on. Never promise a date that the record does not name.";
const record = JSON.stringify({
  order: "A-20418",
  state: "shipped",
  shippedOn: "2026-03-10",
  carrier: "parcel",
  items: [{ sku: "lamp-3", count: 2 }],
  total: 84.5,
});

/** The body of a request: an ordinary short question, 0.8 KB, of one of many users. */
export function bodyOf(model: string, user: string, stream: boolean): string {
  return JSON.stringify({
    model,
    messages: [
      { role: "system", content: system },
      { role: "user", content: `The record of my order: ${record}\nWhere is my order, and when will it be here?` },
    ],
    temperature: 0.2,
    max_tokens: 300,
    user,
    ...(stream ? { stream: true, stream_options: { include_usage: true } } : {}),
  });
}

/** Requests as they go over the wire; each proxy gets the same but for path, model name and the headers that it needs. */
export function requestsFor({ port, path, model, headers }: Contender, stream: boolean): string[] {
  const all = { host: `127.0.0.1:${port}`, "content-type": "application/json", accept: "application/json", "user-agent": "bench/1", ...headers };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Array.from({ length: SUBJECTS }, (_, i) => {
    const body = bodyOf(model, `user-${String(i).padStart(4, "0")}`, stream);
    return `POST ${path} HTTP/1.1\r\n${head.join("")}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  });
}

/** Asks once without and once with a stream. @throws when an answer is not the upstream's */
export async function checkAnswers({ name, port, path, model, headers }: Contender): Promise<void> {
  for (const stream of [false, true]) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: bodyOf(model, "user-0000", stream),
      signal: AbortSignal.timeout(20_000),
    });
    const text = await response.text();
    const whole = stream ? text.includes("[DONE]") && text.includes("warehouse") : text.includes("follow it on its way");
    if (!response.ok || !whole) throw new Error(`${name} answered ${stream ? "a stream" : "a call"} with ${response.status}: ${text.slice(0, 300)}`);
  }
}
