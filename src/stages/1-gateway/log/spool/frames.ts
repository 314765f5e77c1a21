import { crc32 } from "node:zlib";
import type { Request } from "../../../../../topics/index.ts";

/**
 * What the spool holds, in the order in which it happened. `numbers`: the last number given in each partition before what follows. `gap`: records that
 * were dropped here, per partition (-1: not known). `record`: a record; `partition` -1 and `seq` 0 while it has none, which it then gets when it
 * is read, from its place in the order alone.
 */
export type Spooled =
  | { readonly kind: "numbers"; readonly last: readonly number[] }
  | { readonly kind: "gap"; readonly counts: readonly (readonly [partition: number, records: number])[] }
  | { readonly kind: "record"; readonly partition: number; readonly value: Request };

/** A frame as it was read: `ordinal` counts the frames of one spool, so that lost ones are known. */
export interface Frame {
  readonly ordinal: number;
  readonly spooled: Spooled;
}

/** Length and CRC-32 of the payload, each four bytes, little endian; then the payload, JSON in UTF-8. */
export const FRAME_HEAD = 8;
/** How each payload begins. */
export const FRAME_START = '{"ordinal":';
/** Longest payload that is believed: longer ones are a damaged length. */
const MAX_PAYLOAD = 64 * 1024 * 1024;

export function encodeFrame(ordinal: number, spooled: Spooled): Buffer {
  const payload = Buffer.from(JSON.stringify({ ordinal, ...spooled }), "utf8");
  const frame = Buffer.allocUnsafe(FRAME_HEAD + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt32LE(crc32(payload), 4);
  payload.copy(frame, FRAME_HEAD);
  return frame;
}

/** What stands at the beginning of some bytes. `short`: the frame needs so many bytes in all. */
export type Decoded =
  | { readonly kind: "frame"; readonly frame: Frame; readonly bytes: number }
  | { readonly kind: "short"; readonly needs: number }
  | { readonly kind: "damaged"; readonly problem: string };

export function decodeFrame(bytes: Buffer): Decoded {
  if (bytes.length < FRAME_HEAD) return { kind: "short", needs: FRAME_HEAD };
  const length = bytes.readUInt32LE(0);
  if (length === 0 || length > MAX_PAYLOAD) return { kind: "damaged", problem: `a length of ${length} bytes` };
  const end = FRAME_HEAD + length;
  if (bytes.length < end) return { kind: "short", needs: end };
  const payload = bytes.subarray(FRAME_HEAD, end);
  if (crc32(payload) !== bytes.readUInt32LE(4)) return { kind: "damaged", problem: "a checksum that does not fit" };
  const { ordinal, ...spooled } = JSON.parse(payload.toString("utf8")) as Spooled & { ordinal: number };
  return { kind: "frame", frame: { ordinal, spooled: spooled as Spooled }, bytes: end };
}
