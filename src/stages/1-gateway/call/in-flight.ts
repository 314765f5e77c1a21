/** Memory that one call may take for its body while it runs. */
export interface Room {
  /** @returns why nothing was taken: all calls together, or those of the same caller, hold too much already */
  take(bytes: number): "taken" | "full" | "caller_full";
  /** Gives back all that was taken, as soon as nobody holds it any more. */
  leave(): void;
  /**
   * Keeps what was taken for a mirror too, which may run longer than its call.
   *
   * @returns ends that, to be called once; null: mirrors hold half of all there is already, and the rest is for callers
   */
  hold(): (() => void) | null;
}

/** Counts what runs, in total and per route, against limits; and the bytes of request bodies that are held for it. */
export class InFlight {
  readonly #max: number;
  readonly #maxBytes: number;
  readonly #maxCallerBytes: number;
  #bytes = 0;
  /** Of them, what mirrors hold. */
  #heldBytes = 0;
  readonly #callerBytes = new Map<string, number>();
  #reading = 0;
  readonly #perRoute = new Map<string, number>();
  #total = 0;
  #onIdle: () => void = () => undefined;

  /**
   * @param max calls in total
   * @param maxBytes bytes of request bodies in total: some large ones exhaust memory as well as many small ones
   * @param maxCallerBytes how many of them one caller may hold
   */
  constructor(max: number, maxBytes: number, maxCallerBytes = maxBytes) {
    this.#max = max;
    this.#maxBytes = maxBytes;
    this.#maxCallerBytes = maxCallerBytes;
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
    this.#tellIdle();
  }

  /** A request has come that is not a running call yet: whoever waits until all is done waits for it too. */
  arrive(): void {
    this.#reading++;
  }

  depart(): void {
    this.#reading--;
    this.#tellIdle();
  }

  get #isIdle(): boolean {
    return this.#total === 0 && this.#reading === 0;
  }

  #tellIdle(): void {
    if (this.#isIdle) this.#onIdle();
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

  /** Room for the body of one call. @param caller empty: nobody knows whose it is, so that no share can be kept for others */
  openRoom(caller: string): Room {
    let taken = 0;
    let holders = 0;
    let isLeft = false;
    const giveBack = () => {
      if (!isLeft || holders > 0) return;
      this.#add(caller, -taken);
      taken = 0;
    };
    return {
      take: (bytes) => {
        if (this.#bytes + bytes > this.#maxBytes) return "full";
        if (caller !== "" && (this.#callerBytes.get(caller) ?? 0) + bytes > this.#maxCallerBytes) return "caller_full";
        this.#add(caller, bytes);
        taken += bytes;
        return "taken";
      },
      leave: () => {
        isLeft = true;
        giveBack();
      },
      hold: () => {
        const bytes = taken;
        if ((this.#heldBytes + bytes) * 2 > this.#maxBytes) return null;
        this.#heldBytes += bytes;
        holders++;
        return () => {
          this.#heldBytes -= bytes;
          holders--;
          giveBack();
        };
      },
    };
  }

  #add(caller: string, bytes: number): void {
    this.#bytes += bytes;
    if (caller !== "") this.#callerBytes.set(caller, (this.#callerBytes.get(caller) ?? 0) + bytes);
  }

  /** Resolves when nothing runs, or at the deadline. */
  async idle(deadlineMs: number): Promise<void> {
    if (this.#isIdle) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, deadlineMs - Date.now()));
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
