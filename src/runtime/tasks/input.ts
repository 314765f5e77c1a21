import type { Topic } from "../../../topics/index.ts";
import type { Batch } from "../port.ts";
import { readMetadata, taskMetadataMaxBytes, writeMetadata } from "./commit-metadata.ts";

/** What will stand in the group for one input once the transaction is committed. */
export interface InputCommit {
  readonly offset: number;
  readonly own: string;
  readonly text: string;
  readonly isCovered: boolean;
  readonly forgotten: number;
}

/** How far one input of a task has been read, handed over and committed. */
export class TaskInput {
  readonly topic: Topic;
  /** With prefix. */
  readonly name: string;
  /** Every record below was handed to the task or parked; transaction markers included. */
  position: number;
  /** High watermark of the last fetch. */
  highWatermark: number;
  #handedEnd: number;
  #committed: { readonly offset: number; readonly own: string };
  /** The committed offset covers everything that was handed over when it was committed. */
  #isCovered = true;
  #parked: Set<number>;
  /** What a predecessor committed: of everything below, what is bad is in the dead-letter topic, though it is read again. */
  readonly #inherited: number;

  /** @param start where reading starts: the committed offset unless the task asked for another */
  constructor(topic: Topic, name: string, about: { readonly start: number; readonly committed: number; readonly metadata: string; readonly high: number }) {
    this.topic = topic;
    this.name = name;
    const { parked, own } = readMetadata(about.committed, about.metadata);
    this.#parked = new Set(parked);
    this.#committed = { offset: about.committed, own };
    this.#inherited = about.committed;
    this.position = about.start;
    this.#handedEnd = about.start;
    this.highWatermark = about.high;
  }

  /** True for a record that an earlier transaction already put into the dead-letter topic. */
  wasParked(offset: number): boolean {
    return this.#parked.has(offset);
  }

  /** Whether an earlier transaction covers the record, which is only read again because the task asked for an older start. */
  wasCommitted(offset: number): boolean {
    return offset < this.#inherited;
  }

  handed(offset: number): void {
    this.#handedEnd = offset + 1;
    this.position = offset + 1;
  }

  park(offset: number): void {
    this.#parked.add(offset);
    this.handed(offset);
  }

  get isBehindMarkers(): boolean {
    return this.#isCovered && this.position > this.#committed.offset;
  }

  /**
   * What to commit with a batch, or without one (dead letters only, or an idle task).
   * @param isSettled no record was handed over since the task's last batch
   */
  plan(batch: Batch | null, isSettled: boolean, role: string): InputCommit {
    if (batch === null) {
      const offset = this.#isCovered && isSettled ? Math.max(this.position, this.#committed.offset) : this.#committed.offset;
      return this.#write(offset, this.#committed.own, this.#isCovered && isSettled);
    }
    const wanted = batch.offsets?.[this.topic.name];
    const offset = wanted?.offset ?? this.position;
    if (!Number.isInteger(offset) || offset > this.position || offset < Math.min(this.#committed.offset, this.position)) {
      throw new Error(`${role} wants to commit offset ${offset} of ${this.topic.name}, outside of ${this.#committed.offset} to ${this.position}`);
    }
    const own = wanted?.metadata ?? "";
    if (Buffer.byteLength(own) > taskMetadataMaxBytes) {
      throw new Error(`${role} wants to commit ${Buffer.byteLength(own)} bytes of metadata for ${this.topic.name}; at most ${taskMetadataMaxBytes} fit`);
    }
    // Everything handed over is covered: also cover the transaction markers behind it, else retention may one day delete
    // them and the committed offset would look like a gap.
    const isCovered = offset >= this.#handedEnd;
    return this.#write(isCovered ? this.position : offset, own, isCovered);
  }

  #write(offset: number, own: string, isCovered: boolean): InputCommit {
    const { text, forgotten } = writeMetadata(offset, [...this.#parked], own);
    return { offset, own, text, isCovered, forgotten };
  }

  committed(commit: InputCommit): void {
    this.#committed = { offset: commit.offset, own: commit.own };
    this.#isCovered = commit.isCovered;
    for (const offset of this.#parked) if (offset < commit.offset) this.#parked.delete(offset);
  }
}
