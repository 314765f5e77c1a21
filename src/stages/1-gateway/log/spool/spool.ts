import { type FileHandle, mkdir, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Lock, tryLock } from "../../disk/lock.ts";
import { writeAtomically } from "../../disk/write-atomically.ts";
import { decodeFrame, encodeFrame, FRAME_HEAD, type Frame, type Spooled } from "./frames.ts";

/** Bytes that all spools of a directory may have together. */
export class SpoolSpace {
  readonly maxBytes: number;
  usedBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }
}

export interface SpoolOptions {
  readonly directory: string;
  readonly space: SpoolSpace;
  /** A segment that has reached so many bytes is followed by a new one; what was read of a spool is given back segment by segment. */
  readonly segmentBytes?: number;
  /** Frames could not be read: the rest of a segment is passed over. `isTorn`: it was the last one, whose writer was killed in the middle. */
  readonly onDamage: (about: { readonly path: string; readonly offset: number; readonly problem: string; readonly isTorn: boolean }) => void;
}

/** Where reading goes on after a crash, and the numbers given up to there. */
interface Checkpoint {
  readonly segment: number;
  readonly offset: number;
  readonly ordinal: number;
  readonly last: readonly number[];
}
interface Segment {
  readonly id: number;
  /** Bytes that were written whole. */
  bytes: number;
}

/** What was read in one go; `lost`: frames that are missing before the first of them, or between. */
export interface Chunk {
  readonly frames: readonly Spooled[];
  readonly lost: number;
}

const LOCK = "lock";
const CHECKPOINT = "checkpoint.json";
const SEGMENT_BYTES = 8 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;
const SYNC_EVERY_MS = 1_000;
const nameOf = (id: number): string => `${String(id).padStart(12, "0")}.frames`;

/**
 * A first-in first-out queue on disk: segments of checksummed frames. One writer and one reader, both in the process that holds its lock; a
 * process that is killed leaves it as it is for another one. What was written survives the process; what is older than a second, the machine too.
 */
export class Spool {
  /** Numbers of the checkpoint that was found; null: none. */
  readonly found: readonly number[] | null;
  readonly #options: SpoolOptions;
  readonly #lock: Lock;
  readonly #segments: Segment[];
  #writer: FileHandle | null = null;
  #reader: { readonly id: number; readonly file: FileHandle } | null = null;
  #read: { segment: number; offset: number };
  /** Of the next frame to write, and to read. */
  #ordinal = 1;
  /** null: unknown, whatever comes is taken. */
  #expected: number | null;
  /** The same after the chunk that was read last and is not acknowledged yet. */
  #ahead: { segment: number; offset: number; expected: number; frames: number } | null = null;
  #syncedAtMs = 0;
  #unread = 0;

  private constructor(options: SpoolOptions, lock: Lock, about: { segments: Segment[]; checkpoint: Checkpoint | null }) {
    const { segments, checkpoint } = about;
    this.#options = options;
    this.#lock = lock;
    this.#segments = segments;
    this.#read = { segment: checkpoint?.segment ?? segments[0]?.id ?? 1, offset: checkpoint?.offset ?? 0 };
    this.#expected = checkpoint?.ordinal ?? null;
    this.found = checkpoint?.last ?? null;
  }

  /** @returns null when a live process has it */
  static async open(options: SpoolOptions): Promise<Spool | null> {
    const { directory, space } = options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const lock = tryLock(join(directory, LOCK));
    if (lock === null) return null;
    const ids = (await readdir(directory)).filter((name) => name.endsWith(".frames")).map((name) => Number.parseInt(name, 10));
    const segments = await Promise.all(ids.sort((a, b) => a - b).map(async (id) => ({ id, bytes: (await stat(join(directory, nameOf(id)))).size })));
    for (const { bytes } of segments) space.usedBytes += bytes;
    const checkpoint = await readCheckpoint(join(directory, CHECKPOINT));
    return new Spool(options, lock, { segments, checkpoint });
  }

  /** Frames that were written by this process and are not acknowledged. */
  get unreadFrames(): number {
    return this.#unread;
  }

  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get isEmpty(): boolean {
    return this.#segments.length === 0;
  }

  /**
   * Writes frames after all others.
   *
   * @returns false when there is no room, and nothing was written
   * @throws when the disk refuses; nothing of it counts as written then
   */
  async append(frames: readonly Spooled[]): Promise<boolean> {
    const { space, segmentBytes = SEGMENT_BYTES } = this.#options;
    const bytes = Buffer.concat(frames.map((spooled, i) => encodeFrame(this.#ordinal + i, spooled)));
    if (space.usedBytes + bytes.length > space.maxBytes) return false;
    let segment = this.#segments.at(-1);
    if (segment === undefined || this.#writer === null || segment.bytes >= segmentBytes) segment = await this.#begin();
    const writer = this.#writer;
    if (writer === null) throw new Error("the spool is closed");
    // At its place: bytes of a write that failed half way are written over.
    await writer.write(bytes, 0, bytes.length, segment.bytes);
    segment.bytes += bytes.length;
    space.usedBytes += bytes.length;
    this.#ordinal += frames.length;
    this.#unread += frames.length;
    if (Date.now() - this.#syncedAtMs >= SYNC_EVERY_MS) {
      await writer.datasync();
      this.#syncedAtMs = Date.now();
    }
    return true;
  }

  /**
   * Reads on where the last acknowledged chunk ended; the same again until `ack`.
   *
   * @returns null when everything was read
   */
  async next(maxFrames: number): Promise<Chunk | null> {
    this.#ahead = null;
    let { segment: from, offset } = this.#read;
    for (;;) {
      const segment = this.#segments.find(({ id }) => id >= from);
      if (segment === undefined) return null;
      if (segment.id !== from) offset = 0;
      const found = offset < segment.bytes ? await this.#framesAt(segment, offset, maxFrames) : null;
      if (found !== null && found.list.length > 0)
        return this.#chunkOf(found.list, { segment: segment.id, offset: found.isDamaged ? segment.bytes : offset + found.bytes });
      // Nothing (more) in it. The one that is being written goes on growing, and what is behind the last one is not there yet.
      if (segment === this.#segments.at(-1)) return null;
      [from, offset] = [segment.id + 1, 0];
    }
  }

  #chunkOf(frames: readonly Frame[], end: { readonly segment: number; readonly offset: number }): Chunk {
    let expected = this.#expected;
    let lost = 0;
    for (const { ordinal } of frames) {
      lost += Math.max(0, ordinal - (expected ?? ordinal));
      expected = ordinal + 1;
    }
    this.#ahead = { ...end, expected: expected ?? 1, frames: frames.length };
    return { frames: frames.map(({ spooled }) => spooled), lost };
  }

  /** What `next` gave is done: it is not given again, also after a crash; segments that are done are deleted. */
  async ack(last: readonly number[]): Promise<void> {
    if (this.#ahead === null) return;
    const { segment, offset, expected, frames } = this.#ahead;
    this.#unread = Math.max(0, this.#unread - frames);
    this.#read = { segment, offset };
    this.#expected = expected;
    this.#ahead = null;
    // Before anything is deleted: without it numbers that were given would be given again.
    await writeAtomically(join(this.#options.directory, CHECKPOINT), JSON.stringify({ ...this.#read, ordinal: expected, last } satisfies Checkpoint));
    while (this.#segments.length > 1 && (this.#segments[0]?.id ?? 0) < segment) await this.#delete();
  }

  /** Everything was read and acknowledged: deletes it. */
  async clear(): Promise<void> {
    await this.#writer?.close();
    this.#writer = null;
    while (this.#segments.length > 0) {
      this.#read = { segment: (this.#segments[0]?.id ?? 0) + 1, offset: 0 };
      await this.#delete();
    }
    await rm(join(this.#options.directory, CHECKPOINT), { force: true });
    this.#unread = 0;
    this.#expected = null;
  }

  /** Makes what was written safe and gives the spool to whoever finds it; an empty one is removed. */
  async close(): Promise<void> {
    await this.#writer?.datasync();
    await this.#writer?.close();
    await this.#reader?.file.close();
    this.#writer = null;
    this.#reader = null;
    if (this.isEmpty) await rm(this.#options.directory, { recursive: true, force: true });
    for (const { bytes } of this.#segments) this.#options.space.usedBytes -= bytes;
    this.#lock.release();
  }

  async #begin(): Promise<Segment> {
    await this.#writer?.datasync();
    await this.#writer?.close();
    const segment = { id: Math.max(this.#segments.at(-1)?.id ?? 0, this.#read.segment - 1) + 1, bytes: 0 };
    this.#writer = await open(join(this.#options.directory, nameOf(segment.id)), "w", 0o600);
    this.#segments.push(segment);
    return segment;
  }

  async #delete(): Promise<void> {
    const segment = this.#segments.shift();
    if (segment === undefined) return;
    if (this.#reader?.id === segment.id) {
      await this.#reader.file.close();
      this.#reader = null;
    }
    this.#options.space.usedBytes -= segment.bytes;
    await rm(join(this.#options.directory, nameOf(segment.id)), { force: true });
  }

  /** Whole frames from an offset on, at least one if there is one. */
  async #framesAt(segment: Segment, offset: number, maxFrames: number): Promise<{ list: Frame[]; bytes: number; isDamaged: boolean }> {
    const left = segment.bytes - offset;
    let buffer = await this.#bytesAt(segment, offset, Math.min(left, READ_BYTES));
    const list: Frame[] = [];
    let at = 0;
    while (list.length < maxFrames && at < buffer.length) {
      const decoded = decodeFrame(buffer.subarray(at));
      if (decoded.kind === "frame") {
        list.push(decoded.frame);
        at += decoded.bytes;
        continue;
      }
      if (decoded.kind === "short" && at + Math.max(decoded.needs, FRAME_HEAD) <= left) {
        if (list.length > 0) break;
        buffer = await this.#bytesAt(segment, offset, decoded.needs);
        continue;
      }
      const isTorn = decoded.kind === "short";
      const problem = decoded.kind === "short" ? `a frame that ends ${at + decoded.needs - left} bytes early` : decoded.problem;
      this.#options.onDamage({ path: join(this.#options.directory, nameOf(segment.id)), offset: offset + at, problem, isTorn });
      return { list, bytes: at, isDamaged: true };
    }
    return { list, bytes: at, isDamaged: false };
  }

  async #bytesAt(segment: Segment, offset: number, length: number): Promise<Buffer> {
    if (this.#reader?.id !== segment.id) {
      await this.#reader?.file.close();
      this.#reader = { id: segment.id, file: await open(join(this.#options.directory, nameOf(segment.id)), "r") };
    }
    const { buffer, bytesRead } = await this.#reader.file.read(Buffer.allocUnsafe(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  }
}

/** A checkpoint that cannot be read is none: everything that is left is read again, with the numbers that stand in it. */
async function readCheckpoint(path: string): Promise<Checkpoint | null> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Checkpoint;
  } catch {
    return null;
  }
}
