/** Memory that one call may take for its body while it runs. */
export interface Room {
  /** @returns false when all calls together hold too much already; nothing is taken then */
  take(bytes: number): boolean;
  /** Gives back all that was taken. */
  leave(): void;
}

/** Counts what runs, in total and per route, against limits; and the bytes of request bodies that are held for it. */
export class InFlight {
  readonly #max: number;
  readonly #maxBytes: number;
  #bytes = 0;
  readonly #perRoute = new Map<string, number>();
  #total = 0;
  #onIdle: () => void = () => undefined;

  /**
   * @param max calls in total
   * @param maxBytes bytes of request bodies in total: some large ones exhaust memory as well as many small ones
   */
  constructor(max: number, maxBytes: number) {
    this.#max = max;
    this.#maxBytes = maxBytes;
  }

  get total(): number {
    return this.#total;
  }

  /** Bytes of request bodies that are held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns false when too much runs already */
  enter(): boolean {
    if (this.#total >= this.#max) return false;
    this.#total++;
    return true;
  }

  leave(): void {
    this.#total--;
    if (this.#total === 0) this.#onIdle();
  }

  enterRoute(route: string, max: number): boolean {
    const running = this.#perRoute.get(route) ?? 0;
    if (running >= max) return false;
    this.#perRoute.set(route, running + 1);
    return true;
  }

  leaveRoute(route: string): void {
    const running = (this.#perRoute.get(route) ?? 1) - 1;
    if (running === 0) this.#perRoute.delete(route);
    else this.#perRoute.set(route, running);
  }

  /** Room for the body of one call. */
  openRoom(): Room {
    let taken = 0;
    return {
      take: (bytes) => {
        if (this.#bytes + bytes > this.#maxBytes) return false;
        this.#bytes += bytes;
        taken += bytes;
        return true;
      },
      leave: () => {
        this.#bytes -= taken;
        taken = 0;
      },
    };
  }

  /** Resolves when nothing runs, or at the deadline. */
  async idle(deadlineMs: number): Promise<void> {
    if (this.#total === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, deadlineMs - Date.now()));
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
