import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { decodeFrame, FRAME_HEAD, FRAME_START, type Frame } from "./frames.ts";

/** One file of a spool. */
export interface Segment {
  readonly id: number;
  readonly name: string;
  /** Bytes that were written whole. */
  bytes: number;
}

/** Bytes that could not be read. */
export interface Damage {
  readonly path: string;
  readonly offset: number;
  /** Passed over, up to the next whole frame or the end. */
  readonly bytes: number;
  readonly problem: string;
  /** They are the end of the file, as a writer leaves it that is killed in the middle of a frame. */
  readonly isTorn: boolean;
}

/** What stands from an offset on. */
export interface Found {
  readonly list: readonly Frame[];
  /** Bytes of the frames, or of a damage that stands there instead. */
  readonly bytes: number;
  readonly damage: Damage | null;
}

const READ_BYTES = 1024 * 1024;

/** Reads frames of segments, and finds the next whole one behind a damage. */
export class SegmentReader {
  readonly #directory: string;
  #open: { readonly id: number; readonly file: FileHandle } | null = null;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Whole frames up to the first damage, at least one; or the damage, when it stands at the offset itself. */
  async framesAt(segment: Segment, offset: number, maxFrames: number): Promise<Found> {
    const left = segment.bytes - offset;
    let buffer = await this.#bytesAt(segment, offset, Math.min(left, READ_BYTES));
    const list: Frame[] = [];
    let at = 0;
    while (list.length < maxFrames && at < left) {
      const decoded = decodeFrame(buffer.subarray(at));
      if (decoded.kind === "frame") {
        list.push(decoded.frame);
        at += decoded.bytes;
        continue;
      }
      if (list.length > 0) break;
      if (decoded.kind === "damaged") return await this.#damageAt(segment, offset, decoded.problem, false);
      if (decoded.needs > left) return await this.#damageAt(segment, offset, `a frame that ends ${decoded.needs - left} bytes early`, true);
      const known = buffer.length;
      buffer = await this.#bytesAt(segment, offset, Math.max(decoded.needs, FRAME_HEAD));
      // The file is shorter than what was written to it.
      if (buffer.length <= known) return await this.#damageAt(segment, offset, `a file that ends ${left - known} bytes early`, false);
    }
    return { list, bytes: at, damage: null };
  }

  /** The segment is deleted. */
  async forget(id: number): Promise<void> {
    if (this.#open?.id === id) await this.close();
  }

  async close(): Promise<void> {
    await this.#open?.file.close();
    this.#open = null;
  }

  async #damageAt(segment: Segment, offset: number, problem: string, isAtEnd: boolean): Promise<Found> {
    const next = await this.#nextFrame(segment, offset + 1);
    const bytes = (next ?? segment.bytes) - offset;
    const damage = { path: join(this.#directory, segment.name), offset, bytes, problem, isTorn: isAtEnd && next === null };
    return { list: [], bytes, damage };
  }

  /**
   * Where the next whole frame begins. No text of a record can look like the start of a frame: JSON escapes its quotation marks.
   *
   * @returns null when there is none
   */
  async #nextFrame(segment: Segment, offset: number): Promise<number | null> {
    for (let from = offset; from < segment.bytes; from += READ_BYTES) {
      // The windows overlap, so that a start on their border is seen whole.
      const window = await this.#bytesAt(segment, from, Math.min(segment.bytes - from, READ_BYTES + FRAME_HEAD + FRAME_START.length));
      for (let at = window.indexOf(FRAME_START, FRAME_HEAD); at >= 0; at = window.indexOf(FRAME_START, at + 1)) {
        const start = from + at - FRAME_HEAD;
        const length = FRAME_HEAD + window.readUInt32LE(at - FRAME_HEAD);
        if (start + length > segment.bytes) continue;
        if (decodeFrame(await this.#bytesAt(segment, start, length)).kind === "frame") return start;
      }
    }
    return null;
  }

  /** Fewer bytes than asked for only when the file ends. */
  async #bytesAt(segment: Segment, offset: number, length: number): Promise<Buffer> {
    if (this.#open?.id !== segment.id) {
      await this.close();
      this.#open = { id: segment.id, file: await open(join(this.#directory, segment.name), "r") };
    }
    const buffer = Buffer.allocUnsafe(length);
    let read = 0;
    while (read < length) {
      const { bytesRead } = await this.#open.file.read(buffer, read, length - read, offset + read);
      if (bytesRead === 0) break;
      read += bytesRead;
    }
    return buffer.subarray(0, read);
  }
}
