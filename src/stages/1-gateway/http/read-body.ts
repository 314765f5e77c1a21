import type { IncomingMessage } from "node:http";

export type BodyRead =
  | { readonly kind: "read"; readonly bytes: Buffer }
  | { readonly kind: "too_large" }
  | { readonly kind: "no_room" }
  | { readonly kind: "too_slow" }
  | { readonly kind: "aborted" };

/**
 * Reads a request body, at most `maxBytes` of it. Nothing beyond the limit is kept in memory.
 *
 * @param take asked before each piece is kept; false: there is no room for it now
 * @param onStart is given what ends the reading before its time, with a result of its own
 */
export function readBody(
  request: IncomingMessage,
  maxBytes: number,
  take: (bytes: number) => boolean = () => true,
  onStart: (stop: (read: BodyRead) => void) => void = () => undefined,
): Promise<BodyRead> {
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) return Promise.resolve({ kind: "too_large" });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      const kind = size > maxBytes ? "too_large" : take(chunk.length) ? "kept" : "no_room";
      if (kind === "kept") chunks.push(chunk);
      else stop({ kind });
    };
    const onEnd = () => resolve({ kind: "read", bytes: chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size) });
    const stop = (read: BodyRead) => {
      request.off("data", onData);
      request.off("end", onEnd);
      chunks.length = 0;
      resolve(read);
    };
    // What comes first counts: a request that has ended also closes.
    const onBroken = () => resolve({ kind: "aborted" });
    request.on("data", onData);
    request.on("end", onEnd);
    request.on("close", onBroken);
    request.on("error", onBroken);
    onStart(stop);
  });
}
