import { createServer, type Server, type Socket } from "node:net";

/**
 * The fixed upstream of the gateway's benches: an OpenAI-compatible chat completion that is the same each time, or, when
 * the request asks for a stream, the same 16 chunks, each written by itself. It speaks just enough HTTP/1.1 on bare sockets to cost next
 * to nothing: it shares its core with the load generator.
 */
const head = { id: "chatcmpl-bench", created: 1_700_000_000, model: "bench-model" };
const words = "Your order left our warehouse on Tuesday and should reach you within two working days; here is how to follow it on its way.".split(/(?<= )/);
const usage = { prompt_tokens: 180, completion_tokens: words.length, total_tokens: 180 + words.length };

const completion = JSON.stringify({
  ...head,
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: words.join(""), refusal: null }, logprobs: null, finish_reason: "stop" }],
  usage,
});
const plain = Buffer.from(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(completion)}\r\n\r\n${completion}`);

const eventOf = (data: unknown) => `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
const chunked = (text: string) => Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
const deltaOf = (delta: object, finishReason: string | null = null) =>
  eventOf({ ...head, object: "chat.completion.chunk", choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }] });
const CHUNKS = 14;
const perChunk = Math.ceil(words.length / CHUNKS);
const events = [
  deltaOf({ role: "assistant", content: words.slice(0, perChunk).join("") }),
  ...Array.from({ length: CHUNKS - 1 }, (_, i) => deltaOf({ content: words.slice((i + 1) * perChunk, (i + 2) * perChunk).join("") })),
  deltaOf({}, "stop"),
  eventOf({ ...head, object: "chat.completion.chunk", choices: [], usage }) + eventOf("[DONE]"),
].map(chunked);
const streamHead = Buffer.from("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
const firstChunk = Buffer.concat([streamHead, events[0] ?? Buffer.alloc(0)]);
const lastChunk = Buffer.concat([events.at(-1) ?? Buffer.alloc(0), Buffer.from("0\r\n\r\n")]);
const between = events.slice(1, -1);

/** Each chunk in a turn of the event loop of its own, so that it is a packet of its own. */
function stream(socket: Socket): void {
  socket.write(firstChunk);
  let next = 0;
  const step = () => {
    const chunk = between[next++];
    if (chunk === undefined) socket.write(lastChunk);
    else {
      socket.write(chunk);
      setImmediate(step);
    }
  };
  setImmediate(step);
}

const HEAD_END = "\r\n\r\n";
const wantsStream = /"stream"\s*:\s*true/;

/** Length of the first whole request in `text`; 0 when it is not whole yet. */
function requestLength(text: string): number {
  const headEnd = text.indexOf(HEAD_END);
  if (headEnd < 0) return 0;
  const headers = text.slice(0, headEnd);
  const length = /\r\ncontent-length: *(\d+)/i.exec(headers)?.[1];
  if (length !== undefined) return text.length >= headEnd + 4 + Number(length) ? headEnd + 4 + Number(length) : 0;
  if (!/\r\ntransfer-encoding: *chunked/i.test(headers)) return headEnd + 4;
  const end = text.indexOf("\r\n0\r\n\r\n", headEnd + 2);
  return end < 0 ? 0 : end + 7;
}

/** The fixed upstream, not yet listening. @param onRequest hears of each request, head and body, when it is whole */
export function fixedUpstream(onRequest: (request: string) => void = () => undefined): Server {
  return createServer({ noDelay: true }, (socket) => {
    let rest = "";
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      rest += chunk.toString("latin1");
      for (let length = requestLength(rest); length > 0; length = requestLength(rest)) {
        const request = rest.slice(0, length);
        rest = rest.slice(length);
        onRequest(request);
        if (wantsStream.test(request)) stream(socket);
        else socket.write(plain);
      }
    });
  });
}
