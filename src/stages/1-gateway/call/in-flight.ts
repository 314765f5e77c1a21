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

/** What the bodies of all calls take, in total and for each caller. */
class BodyMemory {
  readonly #max: number;
  readonly #maxOfCaller: number;
  readonly #callerBytes = new Map<string, number>();
  bytes = 0;
  /** Of them, what mirrors hold. */
  #heldBytes = 0;

  constructor(max: number, maxOfCaller: number) {
    this.#max = max;
    this.#maxOfCaller = maxOfCaller;
  }

  take(caller: string, bytes: number): ReturnType<Room["take"]> {
    if (this.bytes + bytes > this.#max) return "full";
    if (caller !== "" && (this.#callerBytes.get(caller) ?? 0) + bytes > this.#maxOfCaller) return "caller_full";
    this.add(caller, bytes);
    return "taken";
  }

  add(caller: string, bytes: number): void {
    this.bytes += bytes;
    if (caller !== "") this.#callerBytes.set(caller, (this.#callerBytes.get(caller) ?? 0) + bytes);
  }

  /** @returns false when mirrors would hold more than half of all there is */
  hold(bytes: number): boolean {
    if ((this.#heldBytes + bytes) * 2 > this.#max) return false;
    this.#heldBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#heldBytes -= bytes;
  }
}

/** A class for the same reason as an upload. */
class CallRoom implements Room {
  readonly #memory: BodyMemory;
  readonly #caller: string;
  #taken = 0;
  #holders = 0;
  #isLeft = false;

  constructor(memory: BodyMemory, caller: string) {
    this.#memory = memory;
    this.#caller = caller;
  }

  take(bytes: number): ReturnType<Room["take"]> {
    const taken = this.#memory.take(this.#caller, bytes);
    if (taken === "taken") this.#taken += bytes;
    return taken;
  }

  leave(): void {
    this.#isLeft = true;
    this.#giveBack();
  }

  hold(): (() => void) | null {
    const bytes = this.#taken;
    if (!this.#memory.hold(bytes)) return null;
    this.#holders++;
    return () => {
      this.#memory.release(bytes);
      this.#holders--;
      this.#giveBack();
    };
  }

  #giveBack(): void {
    if (!this.#isLeft || this.#holders > 0) return;
    this.#memory.add(this.#caller, -this.#taken);
    this.#taken = 0;
  }
}

/** Counts what runs, in total and per route, against limits; and the bytes of request bodies that are held for it. */
export class InFlight {
  readonly #max: number;
  readonly #memory: BodyMemory;
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
    this.#memory = new BodyMemory(maxBytes, maxCallerBytes);
  }

  get total(): number {
    return this.#total;
  }

  /** Bytes of request bodies that are held now. */
  get bytes(): number {
    return this.#memory.bytes;
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
    return new CallRoom(this.#memory, caller);
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

/** What one request takes of the limits, from its arrival to its end: given back all at once. */
export class Visit {
  readonly room: Room;
  readonly #inFlight: InFlight;
  #isEntered = false;
  #route: string | null = null;

  constructor(inFlight: InFlight, caller: string) {
    inFlight.arrive();
    this.#inFlight = inFlight;
    this.room = inFlight.openRoom(caller);
  }

  /** @returns false when too much runs already */
  enter(): boolean {
    this.#isEntered = this.#inFlight.enter();
    return this.#isEntered;
  }

  /** @returns false when too much of the same route runs already */
  enterRoute(route: string, max: number): boolean {
    if (!this.#inFlight.enterRoute(route, max)) return false;
    this.#route = route;
    return true;
  }

  /** To be called once. */
  leave(): void {
    if (this.#route !== null) this.#inFlight.leaveRoute(this.#route);
    if (this.#isEntered) this.#inFlight.leave();
    this.room.leave();
    this.#inFlight.depart();
  }
}
