import { createServer, type IncomingHttpHeaders } from "node:http";
import { Pool } from "undici";

/**
 * The bare proxy of the bench, a process of its own: node:http in front, undici behind, and nothing in between: no route, no parsing, no
 * log, no limits. Of the obvious ways to write one this was the fastest (body read into memory, answer passed on chunk by chunk).
 * What it does is what any gateway in Node does at least.
 */
const target = process.argv[2] ?? "";
const pool = new Pool(target, { connections: 2048, pipelining: 1 });
const hopByHop = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length"]);

function forwarded(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && !hopByHop.has(name)) kept[name] = value;
  }
  return kept;
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", async () => {
    try {
      const body = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
      const answer = await pool.request({ path: request.url ?? "/", method: "POST", headers: forwarded(request.headers), body });
      const headers = forwarded(answer.headers);
      const length = answer.headers["content-length"];
      if (length !== undefined) headers["content-length"] = length;
      response.writeHead(answer.statusCode, headers);
      answer.body.on("data", (chunk: Buffer) => response.write(chunk));
      answer.body.on("end", () => response.end());
      answer.body.on("error", () => response.destroy());
    } catch {
      response.writeHead(502).end();
    }
  });
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.send?.({ port: typeof address === "object" ? address?.port : 0 });
});
process.on("SIGTERM", () => process.exit(0));
process.on("disconnect", () => process.exit(0));
