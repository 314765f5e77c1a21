import { constants } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { crc32 } from "node:zlib";

/** Where reading goes on after a crash, and the numbers given up to there. */
export interface Checkpoint {
  readonly segment: number;
  readonly offset: number;
  /** Of the next frame to read. */
  readonly ordinal: number;
  readonly last: readonly number[];
}

/** How far the writer has come. */
export interface Written {
  /** Of the next frame to write. */
  readonly ordinal: number;
  /** The numbers that stand at the beginning of the spool; null: none. */
  readonly numbers: readonly number[] | null;
}

export interface FoundNotes {
  readonly checkpoint: Checkpoint | null;
  readonly written: Written | null;
  /** HEADGATE_PREFIX of the installation that wrote the spool; null: an older headgate did, which did not say. */
  readonly prefix: string | null;
}

/** Room of one note: a checkpoint of more than a thousand partitions. */
const SLOT_BYTES = 16 * 1024;
const [EVEN, ODD, WRITTEN, OWNER] = [0, 1, 2, 3];
const SLOTS = 4;
const HEAD = 8;

/** Whose records the spool has. */
interface Owner {
  /** HEADGATE_PREFIX of the installation. */
  readonly prefix: string;
}

type Stamped = Checkpoint & { readonly turn: number };

/**
 * What a spool must know after a crash, in one file of four places that are written over again and again: the room is taken when the file is made, so that
 * also a full disk takes a checkpoint, without which nothing that was read could be deleted. Checkpoints take turns in two places: one that is
 * broken off leaves the one before.
 */
export class Notes {
  readonly #file: FileHandle;
  #turn: number;

  private constructor(file: FileHandle, turn: number) {
    this.#file = file;
    this.#turn = turn;
  }

  /**
   * Opens the file for writing, and makes it when there is none.
   *
   * @param prefix of the installation, which is written down: another one must not take the records for its own
   * @throws when the disk refuses
   */
  static async open(path: string, prefix: string): Promise<Notes> {
    const { checkpoint } = await Notes.read(path);
    const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    const notes = new Notes(file, (checkpoint as Stamped | null)?.turn ?? 0);
    try {
      const { size } = await file.stat();
      if (size < SLOTS * SLOT_BYTES) await writeAll(file, Buffer.alloc(SLOTS * SLOT_BYTES - size), size);
      await notes.#write(OWNER, { prefix } satisfies Owner);
      await file.datasync();
    } catch (error) {
      await file.close();
      throw error;
    }
    return notes;
  }

  /** Reads the notes; what is damaged or missing is null: everything that is left is then read again, with the numbers that stand in it. */
  static async read(path: string): Promise<FoundNotes> {
    const bytes = await readFile(path).catch(() => Buffer.alloc(0));
    const checkpoints = [EVEN, ODD].flatMap((slot) => noteAt<Stamped>(bytes, slot) ?? []);
    const [checkpoint = null] = checkpoints.sort((a, b) => b.turn - a.turn);
    return { checkpoint, written: noteAt<Written>(bytes, WRITTEN), prefix: noteAt<Owner>(bytes, OWNER)?.prefix ?? null };
  }

  /** Writes a checkpoint, which is on the disk when this resolves. */
  async checkpoint(value: Checkpoint): Promise<void> {
    const turn = this.#turn + 1;
    await this.#write(turn % 2 === 0 ? EVEN : ODD, { ...value, turn } satisfies Stamped);
    await this.#file.datasync();
    this.#turn = turn;
  }

  /** Writes how far the writer has come. It survives the process; the machine only with the next checkpoint. */
  async written(value: Written): Promise<void> {
    await this.#write(WRITTEN, value);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #write(slot: number, value: object): Promise<void> {
    const payload = Buffer.from(JSON.stringify(value), "utf8");
    if (HEAD + payload.length > SLOT_BYTES) throw new Error(`a note of ${payload.length} bytes does not fit its ${SLOT_BYTES}`);
    const note = Buffer.allocUnsafe(HEAD + payload.length);
    note.writeUInt32LE(payload.length, 0);
    note.writeUInt32LE(crc32(payload), 4);
    payload.copy(note, HEAD);
    await writeAll(this.#file, note, slot * SLOT_BYTES);
  }
}

function noteAt<T>(bytes: Buffer, slot: number): T | null {
  const at = slot * SLOT_BYTES;
  if (bytes.length < at + HEAD) return null;
  const length = bytes.readUInt32LE(at);
  const payload = bytes.subarray(at + HEAD, at + HEAD + length);
  if (length === 0 || length > SLOT_BYTES - HEAD || payload.length < length || crc32(payload) !== bytes.readUInt32LE(at + 4)) return null;
  return JSON.parse(payload.toString("utf8")) as T;
}

/** Writes all bytes at a place of a file. A disk that is nearly full takes a part of them, without an error. @throws when the disk refuses */
export async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) throw new Error(`the disk took ${done} of ${bytes.length} bytes`);
    done += bytesWritten;
  }
}
