/** What goes over a line. Bodies are JSON. */
export type LineMessage =
  | { readonly kind: "headgate:line-open" }
  | { readonly kind: "headgate:line"; readonly body: unknown }
  | { readonly kind: "headgate:line-taken" };

/**
 * A way between the first process and one of its workers that cannot be flooded: in each direction one message is under way until the other process has
 * taken it. A process that hangs therefore costs the other one message, and not what its channel would keep for it without end.
 */
export interface CrewLine {
  /**
   * Sends one message. The next one may be sent when this has resolved.
   *
   * @returns whether the other process has taken it; false: it has ended. While it hangs neither comes.
   */
  send(body: unknown): Promise<boolean>;
}

/** One end of a line, and what its owner does with what comes. */
export interface LineHearer {
  /** Takes a message in, before it returns. */
  heard(body: unknown): void;
  /** The other process has ended. */
  ended(): void;
}

/** One end of a line over a channel of Node's, which is given what comes there. */
export class LineEnd implements CrewLine {
  readonly #post: (message: LineMessage) => void;
  #hearer: LineHearer | null = null;
  #taken: ((isTaken: boolean) => void) | null = null;
  #isEnded = false;

  /** @param post sends over the channel; nothing happens when that is closed */
  constructor(post: (message: LineMessage) => void) {
    this.#post = post;
  }

  /** Whoever hears this end from now on; told at once when it has ended already. */
  open(hearer: LineHearer): void {
    this.#hearer = hearer;
    if (this.#isEnded) hearer.ended();
  }

  /** In the worker: opens the other end. */
  openOther(): void {
    this.#post({ kind: "headgate:line-open" });
  }

  send(body: unknown): Promise<boolean> {
    if (this.#taken !== null) throw new Error("a line takes one message at a time: wait for the one before");
    if (this.#isEnded) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#taken = resolve;
    this.#post({ kind: "headgate:line", body });
    return promise;
  }

  /** @param message anything that came over the channel; what is not the line's is let pass */
  hear(message: { readonly kind: string; readonly body?: unknown } | null): void {
    if (message?.kind === "headgate:line-taken") this.#settle(true);
    else if (message?.kind === "headgate:line") {
      this.#hearer?.heard(message.body);
      this.#post({ kind: "headgate:line-taken" });
    }
  }

  /** The channel is closed. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#settle(false);
    this.#hearer?.ended();
  }

  #settle(isTaken: boolean): void {
    const taken = this.#taken;
    this.#taken = null;
    taken?.(isTaken);
  }
}
