import { hash32 } from "../hash/hash32.ts";

const FORMAT = "s1";
const BASE = 36;
const SECOND_SEED = 0x1f83d9ab;

/** Ids that are remembered in memory. */
export const REMEMBERED_IDS = 100_000;
/** Bytes of commit metadata: the newest 280 or so ids survive a change of owner. */
export const RECENT_IDS_BYTES = 4_000;

/** 64 bits of hash: two different ids among 100,000 are taken for one with probability 3e-10. */
const shortId = (id: string): string => `${hash32(id).toString(BASE)}.${hash32(id, SECOND_SEED).toString(BASE)}`;

/**
 * Drops what is delivered again soon after. The judge publishes each score once, so this is a second net: it holds the last 100,000 ids of an owner,
 * and the last few hundred across owners.
 */
export class RecentIds {
  readonly #most: number;
  readonly #ids = new Set<string>();

  constructor(most = REMEMBERED_IDS) {
    this.#most = most;
  }

  /** @returns whether the id is new; it is remembered */
  isNew(id: string): boolean {
    const short = shortId(id);
    if (this.#ids.has(short)) return false;
    this.#ids.add(short);
    for (const oldest of this.#ids) {
      if (this.#ids.size <= this.#most) break;
      this.#ids.delete(oldest);
    }
    return true;
  }

  /** `s1|id|id|...`, oldest first. */
  encode(): string {
    const parts: string[] = [];
    let room = RECENT_IDS_BYTES - FORMAT.length;
    const ids = [...this.#ids].slice(-RECENT_IDS_BYTES / 4);
    for (const id of ids.reverse()) {
      room -= id.length + 1;
      if (room < 0) break;
      parts.push(id);
    }
    return [FORMAT, ...parts.reverse()].join("|");
  }

  /** @throws {Error} when the text was not written by `encode` */
  static decode(text: string, most = REMEMBERED_IDS): RecentIds {
    const recent = new RecentIds(most);
    if (text === "") return recent;
    const [format, ...ids] = text.split("|");
    if (format !== FORMAT) throw new Error(`commit metadata of format ${format} instead of ${FORMAT}`);
    for (const id of ids) recent.#ids.add(id);
    return recent;
  }
}
