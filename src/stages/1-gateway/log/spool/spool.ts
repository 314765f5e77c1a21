import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Lock, tryLock } from "../../disk/lock.ts";
import { encodeFrame, type Frame, type Spooled } from "./frames.ts";
import { type FoundNotes, Notes, writeAll } from "./notes.ts";
import { type Damage, type Segment, SegmentReader } from "./segment-reader.ts";

/** Bytes that all spools of a directory may have together. */
export class SpoolSpace {
  readonly maxBytes: number;
  /** Of those that this process has open. */
  usedBytes = 0;
  /** Of the others, when they were last looked at: of live processes beside this one, and of dead ones that are not read yet. */
  othersBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }
}

export interface SpoolOptions {
  readonly directory: string;
  /** HEADGATE_PREFIX of the installation whose records these are. */
  readonly prefix: string;
  readonly space: SpoolSpace;
  /** A segment that has reached so many bytes is followed by a new one; what was read of a spool is given back segment by segment. */
  readonly segmentBytes?: number;
  /** Bytes could not be read: they are passed over up to the next whole frame. `isTorn`: they are the end, whose writer was killed in the middle. */
  readonly onDamage: (damage: Damage) => void;
}

/** Thrown for a spool with records of another installation: they belong on its topics, and are left where they are. */
export class ForeignSpool extends Error {
  constructor({ directory, prefix }: SpoolOptions, writer: string) {
    super(
      `the spool ${directory} has records of the installation with the prefix "${writer}", and this gateway has "${prefix}": it is left as it is; start a gateway with that prefix on this data directory to have them written, or delete it`,
    );
  }
}

/** What was read in one go; `lost`: frames that are missing before the first of them, or between. */
export interface Chunk {
  readonly frames: readonly Spooled[];
  readonly lost: number;
}

const LOCK = "lock";
const NOTES = "notes";
const SEGMENT_BYTES = 8 * 1024 * 1024;
const SYNC_EVERY_MS = 1_000;
/** Its number, and the ordinal of its first frame: what is lost of its beginning is counted. */
const nameOf = (id: number, first: number): string => `${String(id).padStart(12, "0")}-${first}.frames`;
const NAME = /^(\d{12})-(\d+)\.frames$/;

/**
 * A first-in first-out queue on disk: segments of checksummed frames. One writer and one reader, both in the process that holds its lock; a
 * process that is killed leaves it as it is for another one. What was written survives the process; what is older than a second, the machine too.
 */
export class Spool {
  /** Numbers of the checkpoint that was found; null: none. */
  readonly found: readonly number[] | null;
  /** Whether it is known how many frames were written; else what is lost at the end counts as one. */
  readonly #isEndKnown: boolean;
  readonly #options: SpoolOptions;
  readonly #lock: Lock;
  readonly #segments: Segment[];
  #writer: FileHandle | null = null;
  readonly #reader: SegmentReader;
  #read: { segment: number; offset: number };
  #notes: Notes | null = null;
  /** Of the next frame to write, and to read. */
  #ordinal: number;
  #expected: number;
  /** The numbers that stand at the beginning. */
  #numbers: readonly number[] | null;
  /** The same after the chunk that was read last and is not acknowledged yet. */
  #ahead: { segment: number; offset: number; expected: number; frames: number } | null = null;
  #syncedAtMs = Number.NEGATIVE_INFINITY;
  #unread = 0;

  private constructor(options: SpoolOptions, lock: Lock, about: { segments: Segment[] } & FoundNotes) {
    const { segments, checkpoint, written } = about;
    this.#options = options;
    this.#lock = lock;
    this.#segments = segments;
    this.#reader = new SegmentReader(options.directory);
    this.#read = { segment: checkpoint?.segment ?? segments[0]?.id ?? 1, offset: checkpoint?.offset ?? 0 };
    this.#expected = checkpoint?.ordinal ?? firstOf(segments[0]);
    this.#ordinal = Math.max(written?.ordinal ?? 1, this.#expected, firstOf(segments.at(-1)));
    this.#numbers = written?.numbers ?? null;
    this.#isEndKnown = written !== null || segments.length === 0;
    // What a checkpoint says comes after what stood at the beginning.
    this.found = checkpoint?.last ?? this.#numbers;
  }

  /**
   * @returns null when a live process has it
   * @throws {ForeignSpool} when another installation has records in it; whatever the disk says
   */
  static async open(options: SpoolOptions): Promise<Spool | null> {
    const { directory, prefix, space } = options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const lock = tryLock(join(directory, LOCK));
    if (lock === null) return null;
    const names = (await readdir(directory)).filter((name) => NAME.test(name)).sort();
    const segments = await Promise.all(names.map(async (name) => ({ id: Number.parseInt(name, 10), name, bytes: (await stat(join(directory, name))).size })));
    const notes = await Notes.read(join(directory, NOTES));
    if (segments.length > 0 && (notes.prefix ?? prefix) !== prefix) {
      lock.release();
      throw new ForeignSpool(options, notes.prefix ?? "");
    }
    for (const { bytes } of segments) space.usedBytes += bytes;
    return new Spool(options, lock, { segments, ...notes });
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
    if (space.usedBytes + space.othersBytes + bytes.length > space.maxBytes) return false;
    let segment = this.#segments.at(-1);
    if (segment === undefined || this.#writer === null || segment.bytes >= segmentBytes) segment = await this.#begin();
    const writer = this.#writer;
    if (writer === null) throw new Error("the spool is closed");
    try {
      await writeAll(writer, bytes, segment.bytes);
      if (performance.now() - this.#syncedAtMs >= SYNC_EVERY_MS) {
        await writer.datasync();
        this.#syncedAtMs = performance.now();
      }
    } catch (error) {
      // What the disk took of it would be found after a crash, and takes room; if it stays all the same, the next write is put over it.
      await writer.truncate(segment.bytes).catch(() => undefined);
      throw error;
    }
    segment.bytes += bytes.length;
    space.usedBytes += bytes.length;
    this.#ordinal += frames.length;
    this.#unread += frames.length;
    for (const spooled of frames) if (spooled.kind === "numbers") this.#numbers = spooled.last;
    // The frames are written, whatever becomes of the note: without it a loss at the very end would be counted as one.
    await this.#notes?.written({ ordinal: this.#ordinal, numbers: this.#numbers }).catch(() => undefined);
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
    let isDamaged = false;
    for (;;) {
      const segment = this.#segments.find(({ id }) => id >= from);
      if (segment === undefined) return this.#endOf({ segment: from, offset }, isDamaged);
      if (segment.id !== from) [from, offset] = [segment.id, 0];
      const found = offset < segment.bytes ? await this.#reader.framesAt(segment, offset, maxFrames) : null;
      offset += found?.bytes ?? 0;
      if (found !== null && found.list.length > 0) return this.#chunkOf(found.list, { segment: segment.id, offset });
      if (found?.damage) this.#options.onDamage(found.damage);
      isDamaged ||= found?.damage?.isTorn === false;
      if (offset < segment.bytes) continue;
      // Nothing (more) in it. The one that is being written goes on growing, and what is behind the last one is not there yet.
      if (segment === this.#segments.at(-1)) return this.#endOf({ segment: segment.id, offset }, isDamaged);
      [from, offset] = [segment.id + 1, 0];
    }
  }

  #chunkOf(frames: readonly Frame[], end: { readonly segment: number; readonly offset: number }): Chunk {
    let expected = this.#expected;
    let lost = 0;
    for (const { ordinal } of frames) {
      lost += Math.max(0, ordinal - expected);
      expected = ordinal + 1;
    }
    this.#ahead = { ...end, expected, frames: frames.length + lost };
    return { frames: frames.map(({ spooled }) => spooled), lost };
  }

  /** Everything was read: what was written after it is lost. */
  #endOf(end: { readonly segment: number; readonly offset: number }, isDamaged: boolean): Chunk | null {
    const atLeast = isDamaged && !this.#isEndKnown ? 1 : 0;
    const lost = Math.max(atLeast, this.#ordinal - this.#expected);
    if (lost === 0) return null;
    this.#ahead = { ...end, expected: this.#expected + lost, frames: lost };
    return { frames: [], lost };
  }

  /**
   * What `next` gave is done: it is not given again, also after a crash; segments that are done are deleted.
   *
   * @throws when the disk refuses: what was given is done all the same, and only a crash would make it be given again, with the same numbers
   */
  async ack(last: readonly number[]): Promise<void> {
    if (this.#ahead === null) return;
    const { segment, offset, expected, frames } = this.#ahead;
    this.#unread = Math.max(0, this.#unread - frames);
    this.#read = { segment, offset };
    this.#expected = expected;
    this.#ordinal = Math.max(this.#ordinal, expected);
    this.#ahead = null;
    // Before anything is deleted: without it numbers that were given would be given again.
    await (await this.#openNotes()).checkpoint({ ...this.#read, ordinal: expected, last });
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
    await this.#notes?.close();
    this.#notes = null;
    this.#numbers = null;
    await rm(this.#pathOf(NOTES), { force: true });
    this.#unread = 0;
    this.#expected = this.#ordinal;
  }

  /**
   * Makes what was written safe and gives the spool to whoever finds it; an empty one is removed.
   *
   * @throws when the disk refuses; the spool is given away all the same
   */
  async close(): Promise<void> {
    const [writer, notes] = [this.#writer, this.#notes];
    this.#writer = null;
    this.#notes = null;
    const ended = await Promise.allSettled([writer === null ? null : synced(writer), this.#reader.close(), notes?.close()]);
    for (const { bytes } of this.#segments) this.#options.space.usedBytes -= bytes;
    if (this.isEmpty) ended.push(...(await Promise.allSettled([removed(this.#options.directory)])));
    this.#lock.release();
    for (const each of ended) if (each.status === "rejected") throw each.reason;
  }

  async #begin(): Promise<Segment> {
    const before = this.#writer;
    this.#writer = null;
    await before?.datasync().finally(() => before.close());
    // Before anything is read: its room is needed most when there is none left.
    await this.#openNotes();
    const id = Math.max(this.#segments.at(-1)?.id ?? 0, this.#read.segment - 1) + 1;
    const segment = { id, name: nameOf(id, this.#ordinal), bytes: 0 };
    this.#writer = await open(this.#pathOf(segment.name), "w", 0o600);
    this.#segments.push(segment);
    return segment;
  }

  async #delete(): Promise<void> {
    const segment = this.#segments.shift();
    if (segment === undefined) return;
    await this.#reader.forget(segment.id);
    this.#options.space.usedBytes -= segment.bytes;
    await rm(this.#pathOf(segment.name), { force: true });
  }

  async #openNotes(): Promise<Notes> {
    this.#notes ??= await Notes.open(this.#pathOf(NOTES), this.#options.prefix);
    return this.#notes;
  }

  #pathOf(name: string): string {
    return join(this.#options.directory, name);
  }
}

async function synced(file: FileHandle): Promise<void> {
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}

/** Another process may be looking into it, which puts a file of its lock there: then that one finds it empty, and removes it. */
async function removed(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOTEMPTY") throw error;
  });
}

/** Ordinal of a segment's first frame. */
const firstOf = (segment: Segment | undefined): number => Number(NAME.exec(segment?.name ?? "")?.[2] ?? 1);
