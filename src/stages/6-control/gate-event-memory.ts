import type { GateEvent } from "../../../topics/index.ts";

/** Gate events kept per route; older ones are in the topic. With evidence of some ten signals an event is about 10 kB. */
const keptPerRoute = 200;

/** The newest gate events of each route, by id, in the order in which they were published. */
export class GateEventMemory {
  readonly #byRoute = new Map<string, Map<string, GateEvent>>();

  /** @returns false for an event that is known already (a repeat after a reconnect) */
  remember(event: GateEvent): boolean {
    const events = this.#byRoute.get(event.route) ?? new Map<string, GateEvent>();
    if (events.has(event.id)) return false;
    this.#byRoute.set(event.route, events.set(event.id, event));
    const [oldest] = events.keys();
    if (events.size > keptPerRoute && oldest !== undefined) events.delete(oldest);
    return true;
  }

  /**
   * Newest first.
   * @param page.before only events published before the one with this id; an id that is not in memory yields none
   */
  newest(route: string, page: { readonly limit: number; readonly before?: string | undefined }): GateEvent[] {
    const all = [...(this.#byRoute.get(route)?.values() ?? [])];
    const end = page.before === undefined ? all.length : all.findIndex((event) => event.id === page.before);
    return all.slice(Math.max(0, end - page.limit), Math.max(0, end)).reverse();
  }

  /** Events published since a moment that `newestId` named, oldest first; all that are in memory when it is undefined or gone. */
  since(route: string, id: string | undefined): GateEvent[] {
    const all = [...(this.#byRoute.get(route)?.values() ?? [])];
    return id === undefined ? all : all.slice(all.findIndex((event) => event.id === id) + 1);
  }

  newestId(route: string): string | undefined {
    return this.newest(route, { limit: 1 })[0]?.id;
  }

  routes(): string[] {
    return [...this.#byRoute.keys()];
  }
}
