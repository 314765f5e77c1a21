import { randomFillSync } from "node:crypto";

const pool = new Uint8Array(10 * 256);
let used = pool.length;
const bytes = Buffer.alloc(16);

/**
 * A UUID of version 7: 48 bits of epoch milliseconds, then 74 random bits.
 *
 * @see RFC 9562, section 5.7
 */
export function uuidv7(nowMs: number): string {
  if (used + 10 > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const ms = Math.floor(nowMs);
  bytes.writeUIntBE(ms, 0, 6);
  bytes.set(pool.subarray(used, used + 10), 6);
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  used += 10;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The 32 hex digits of a UUID. */
export const hexOf = (uuid: string): string => uuid.slice(0, 8) + uuid.slice(9, 13) + uuid.slice(14, 18) + uuid.slice(19, 23) + uuid.slice(24);
