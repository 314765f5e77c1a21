import { randomFillSync } from "node:crypto";

const pool = new Uint8Array(10 * 256);
let used = pool.length;
const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

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
  const at = (i: number): number => pool[used + i] ?? 0;
  const time = Math.floor(nowMs).toString(16).padStart(12, "0");
  const a = `${hex[0x70 | (at(0) & 0x0f)]}${hex[at(1)]}`;
  const b = `${hex[0x80 | (at(2) & 0x3f)]}${hex[at(3)]}`;
  const node = `${hex[at(4)]}${hex[at(5)]}${hex[at(6)]}${hex[at(7)]}${hex[at(8)]}${hex[at(9)]}`;
  used += 10;
  return `${time.slice(0, 8)}-${time.slice(8)}-${a}-${b}-${node}`;
}
