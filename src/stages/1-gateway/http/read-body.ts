import type { IncomingMessage } from "node:http";

export type BodyRead = { readonly kind: "read"; readonly bytes: Buffer } | { readonly kind: "too_large" } | { readonly kind: "aborted" };

/**
 * Reads a request body, at most `maxBytes` of it. Nothing beyond the limit is kept in memory.
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<BodyRead> {
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) return Promise.resolve({ kind: "too_large" });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) {
        chunks.push(chunk);
        return;
      }
      request.off("data", onData);
      resolve({ kind: "too_large" });
    };
    // What comes first counts: a request that has ended also closes.
    const onBroken = () => resolve({ kind: "aborted" });
    request.on("data", onData);
    request.on("end", () => resolve({ kind: "read", bytes: chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size) }));
    request.on("close", onBroken);
    request.on("error", onBroken);
  });
}
