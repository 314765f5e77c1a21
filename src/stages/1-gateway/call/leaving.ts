/**
 * Tells that nobody waits for a call any more: its caller has left, or the gateway may not wait any longer. What an AbortController does, at a fraction of
 * its cost: there is one for every call, and one listener at a time is enough, since a call waits for one thing after another.
 */
export class Leaving {
  #hasLeft = false;
  #listener: (() => void) | null = null;

  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** From now on nobody waits; the listener is told once. */
  leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#listener?.();
  }

  /** Takes the place of the listener before. @param listener null: nothing is waited for now */
  listen(listener: (() => void) | null): void {
    this.#listener = listener;
  }

  /** Resolves after a pause, or as soon as nobody waits for its end. @param ms length of the pause */
  async pause(ms: number): Promise<void> {
    if (this.#hasLeft) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.listen(() => {
        clearTimeout(timer);
        resolve();
      });
    });
    this.listen(null);
  }
}
