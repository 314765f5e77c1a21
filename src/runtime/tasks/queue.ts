import type { KafkaMessage } from "kafkajs";

/** A fetched record waiting for its task, or the end of a fetched batch (`message` null), which moves the position. */
export interface Queued {
  readonly topic: string;
  readonly message: KafkaMessage | null;
  /** Offset of the record, or the offset that follows the batch (transaction markers included). */
  readonly offset: number;
}

/** The bounded queue between the consumer and one task: whoever fills it must stop when it is full. */
export class TaskQueue {
  #items: Queued[] = [];
  #head = 0;
  #bytes = 0;
  readonly #maxRecords: number;
  readonly #maxBytes: number;

  constructor(limits: { readonly maxRecords: number; readonly maxBytes: number }) {
    this.#maxRecords = limits.maxRecords;
    this.#maxBytes = limits.maxBytes;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  get isFull(): boolean {
    return this.length >= this.#maxRecords || this.#bytes >= this.#maxBytes;
  }

  /** Below half of both limits: time to fetch again. */
  get hasRoom(): boolean {
    return this.length < this.#maxRecords / 2 && this.#bytes < this.#maxBytes / 2;
  }

  push(item: Queued): void {
    this.#items.push(item);
    this.#bytes += item.message?.value?.length ?? 0;
  }

  peek(): Queued | undefined {
    return this.#items[this.#head];
  }

  shift(): void {
    const item = this.#items[this.#head];
    if (item === undefined) return;
    this.#bytes -= item.message?.value?.length ?? 0;
    this.#head++;
    if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}
