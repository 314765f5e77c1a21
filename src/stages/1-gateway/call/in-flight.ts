/** Counts what runs, in total and per route, against limits. */
export class InFlight {
  readonly #max: number;
  readonly #perRoute = new Map<string, number>();
  #total = 0;
  #onIdle: () => void = () => undefined;

  constructor(max: number) {
    this.#max = max;
  }

  get total(): number {
    return this.#total;
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
