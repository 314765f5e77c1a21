import type { Change } from "./views.ts";

/** Changes kept for subscribers that come back with `Last-Event-ID`. */
const kept = 2_000;

/** One server-sent event, rendered. */
export interface FeedEvent {
  readonly id: string;
  readonly route: string;
  /** As it goes over the wire, with the empty line that ends it. */
  readonly frame: string;
}

/**
 * The changes of all routes in order, with resumption from memory. An id is `<feed>-<n>`; the feed's name changes with
 * each start of control, since memory does not outlive it.
 */
export class EventFeed {
  readonly #name: string;
  readonly #events: FeedEvent[] = [];
  readonly #subscribers = new Set<(event: FeedEvent) => void>();
  #count = 0;

  constructor(name: string) {
    this.#name = name;
  }

  publish(change: Change): void {
    this.#count += 1;
    const id = `${this.#name}-${this.#count}`;
    const event = { id, route: change.route, frame: frame({ id, event: change.kind, data: JSON.stringify(change.value) }) };
    this.#events.push(event);
    if (this.#events.length > kept) this.#events.shift();
    for (const tell of this.#subscribers) tell(event);
  }

  /**
   * What a subscriber missed since an id. When that is not known any more, a `reset` event comes first: whoever sees it
   * reads the current state anew.
   */
  since(lastId: string | undefined): readonly FeedEvent[] {
    if (lastId === undefined) return [];
    const [, feed = "", n = ""] = /^(.*)-(\d+)$/.exec(lastId) ?? [];
    const missed = this.#count - Number(n);
    if (feed === this.#name && missed >= 0 && missed <= this.#events.length) return missed === 0 ? [] : this.#events.slice(-missed);
    const id = `${this.#name}-${this.#count}`;
    return [{ id, route: "*", frame: frame({ id, event: "reset", data: JSON.stringify({ reason: "the events since that id are not in memory" }) }) }];
  }

  /** @returns ends the subscription */
  subscribe(tell: (event: FeedEvent) => void): () => void {
    this.#subscribers.add(tell);
    return () => void this.#subscribers.delete(tell);
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }
}

function frame(event: { readonly id: string; readonly event: string; readonly data: string }): string {
  return `id: ${event.id}\nevent: ${event.event}\ndata: ${event.data}\n\n`;
}
