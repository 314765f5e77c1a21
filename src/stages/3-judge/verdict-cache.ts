import type { Asked } from "./ask.ts";

/**
 * Remembers what was answered about an item, and what is being asked, so that identical items are asked once per process
 * (shadow replays, records read again after a restart elsewhere). Bounded: the least recently used goes first.
 */
export class VerdictCache {
  readonly #most: number;
  readonly #answers = new Map<string, Promise<Asked>>();

  constructor(most: number) {
    this.#most = most;
  }

  /**
   * The answer under a key, from memory or from `ask`. Only answers are kept: a failure is asked again.
   *
   * @param signal of who wants it; when somebody else's question is aborted, this one is asked anew
   * @returns the answer, and whether it was here before
   */
  async get(key: string, signal: AbortSignal, ask: () => Promise<Asked>): Promise<{ readonly asked: Asked; readonly isHit: boolean }> {
    for (let known = this.#use(key); known !== undefined; known = this.#use(key)) {
      const asked = await known.catch(() => null);
      signal.throwIfAborted();
      if (asked !== null && asked.kind === "answered") return { asked, isHit: true };
      if (asked !== null) return { asked, isHit: false };
    }
    const asking = ask();
    this.#put(key, asking);
    try {
      const asked = await asking;
      if (asked.kind !== "answered") this.#forget(key, asking);
      return { asked, isHit: false };
    } catch (error) {
      this.#forget(key, asking);
      throw error;
    }
  }

  #use(key: string): Promise<Asked> | undefined {
    const known = this.#answers.get(key);
    if (known === undefined) return undefined;
    this.#answers.delete(key);
    this.#answers.set(key, known);
    return known;
  }

  #put(key: string, asking: Promise<Asked>): void {
    this.#answers.set(key, asking);
    if (this.#answers.size <= this.#most) return;
    const [oldest] = this.#answers.keys();
    if (oldest !== undefined) this.#answers.delete(oldest);
  }

  #forget(key: string, asking: Promise<Asked>): void {
    if (this.#answers.get(key) === asking) this.#answers.delete(key);
  }
}
