import { deflateRawSync, inflateRawSync } from "node:zlib";
import type { GateEvent } from "../../../topics/index.ts";

/** Published gate events of one route until the replay asks for them. Packed: a year of them may be a hundred megabytes of JSON. */
export class EventShelf {
  /** Several of one id: a decider that had lost its state numbers its inputs anew. */
  readonly #packed = new Map<string, Buffer[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  put(event: GateEvent): void {
    const known = this.#packed.get(event.id) ?? [];
    known.push(deflateRawSync(JSON.stringify(event), { level: 1 }));
    this.#packed.set(event.id, known);
    this.#size += 1;
  }

  /** Gives an event and forgets it. */
  take(id: string): GateEvent | undefined {
    const packed = this.#packed.get(id);
    const first = packed?.shift();
    if (packed?.length === 0) this.#packed.delete(id);
    if (first === undefined) return undefined;
    this.#size -= 1;
    return unpack(first);
  }

  /** Those that nobody has taken, in the order in which they were put. */
  *left(): Iterable<GateEvent> {
    for (const packed of this.#packed.values()) for (const one of packed) yield unpack(one);
  }
}

function unpack(packed: Buffer): GateEvent {
  return JSON.parse(inflateRawSync(packed).toString("utf8")) as GateEvent;
}
