import type { IncomingMessage } from "node:http";

export type BodyRead =
  | { readonly kind: "read"; readonly bytes: Buffer }
  | { readonly kind: "too_large" }
  | { readonly kind: "no_room" }
  | { readonly kind: "too_slow" }
  | { readonly kind: "aborted" };

/** Whoever follows how a body is read. */
export interface Reading {
  /** Asked before each piece is kept. @returns false: there is no room for it now */
  take(bytes: number): boolean;
  /** Given, at the start, what ends the reading before its time, with a result of its own. */
  stop: (read: BodyRead) => void;
  /** Nothing more is read. */
  end(): void;
}

/** Reads a request body, at most `maxBytes` of it. Nothing beyond the limit is kept in memory. */
export function readBody(request: IncomingMessage, maxBytes: number, reading: Reading | null = null): Promise<BodyRead> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (read: BodyRead) => {
      reading?.end();
      resolve(read);
    };
    if (Number(request.headers["content-length"] ?? 0) > maxBytes) {
      settle({ kind: "too_large" });
      return;
    }
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      const kind = size > maxBytes ? "too_large" : reading === null || reading.take(chunk.length) ? "kept" : "no_room";
      if (kind === "kept") chunks.push(chunk);
      else stop({ kind });
    };
    const onEnd = () => {
      const bytes = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size);
      // The request knows this function as long as the call runs: it may not keep the pieces beside the whole.
      chunks.length = 0;
      settle({ kind: "read", bytes });
    };
    const stop = (read: BodyRead) => {
      request.off("data", onData);
      request.off("end", onEnd);
      chunks.length = 0;
      settle(read);
    };
    // What comes first counts: a request that has ended also closes.
    const onBroken = () => settle({ kind: "aborted" });
    request.on("data", onData);
    request.on("end", onEnd);
    request.on("close", onBroken);
    request.on("error", onBroken);
    if (reading !== null) reading.stop = stop;
  });
}
