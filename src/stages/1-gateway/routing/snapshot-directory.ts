import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Lock, tryLock } from "../disk/lock.ts";
import { writeAtomically } from "../disk/write-atomically.ts";
import { findSnapshot, type Snapshot } from "./snapshot.ts";

const DIRECTORY = "routing";
const [SNAPSHOT, LOCK] = [".snapshot", ".lock"];
/** What headgate wrote before each process had a file of its own. */
const FORMER = "routing.snapshot";
/** What a process left that was killed before its first snapshot is deleted after so long. */
const LITTER_MS = 3_600_000;
const MOST_LOOKS = 20;

/** What was found: of live processes and of dead ones. */
export interface Kept {
  readonly snapshots: readonly Snapshot[];
  /** Of each file that cannot be used, why. */
  readonly problems: readonly string[];
}

/**
 * The snapshots of all gateways that share a data directory: one file for each process, so that none writes over what another one knows, and a lock
 * beside it that tells whether the process lives. Whoever starts takes over what the dead knew and deletes it once its own file holds the same;
 * a crash at any moment leaves at least one of the two.
 */
export class SnapshotDirectory {
  readonly path: string;
  readonly #data: string;
  readonly #own: string;
  #lock: Lock | null = null;
  /** Files of dead processes that were read here, with their locks. */
  readonly #inherited = new Map<string, Lock>();
  /** The file of before is of another installation, and stays. */
  #isFormerForeign = false;
  #isTidy = false;
  readonly #prefix: string;

  /**
   * @param instance only for the file's name, which is unique also when the same name comes again
   * @param prefix of this installation: what another one left is not read, and left to it
   */
  constructor(data: string, instance: string, prefix: string) {
    this.#data = data;
    this.#prefix = prefix;
    this.path = join(data, DIRECTORY);
    this.#own = `${encodeURIComponent(instance)}-${randomBytes(6).toString("hex")}`;
  }

  /**
   * Makes the directory and takes this process's lock.
   * @throws when the disk refuses; snapshots can be read and written all the same, if it lets them
   */
  open(): void {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    this.#lock = tryLock(this.#pathOf(this.#own + LOCK));
  }

  /** Reads what every process has kept; to be called once. */
  read(): Kept {
    // A file that is deleted meanwhile is in another one by then: looked at again until nothing has changed.
    let files = this.#files();
    for (let looks = 1; ; looks++) {
      for (const name of files) this.#inherit(name);
      const own = files.map((name) => findSnapshot(this.#pathOf(name + SNAPSHOT), this.#prefix));
      const former = findSnapshot(join(this.#data, FORMER), this.#prefix);
      const now = this.#files();
      if (isDeepStrictEqual(now, files) || looks === MOST_LOOKS) {
        for (const [i, name] of files.entries()) if (own[i]?.kind === "foreign") this.#leave(name);
        this.#isFormerForeign = former.kind === "foreign";
        const found = [...own, former];
        return {
          snapshots: found.flatMap((each) => (each.kind === "restored" ? [each.snapshot] : [])),
          problems: found.flatMap((each) => ("problem" in each ? [each.problem] : [])),
        };
      }
      files = now;
    }
  }

  /** Replaces this process's file, then deletes those that it has taken over. @throws when the disk refuses */
  async write(text: string): Promise<void> {
    await writeAtomically(this.#pathOf(this.#own + SNAPSHOT), text);
    if (this.#isTidy) return;
    for (const [name, lock] of this.#inherited) {
      this.#delete(name);
      lock.release();
    }
    this.#inherited.clear();
    if (!this.#isFormerForeign) rmSync(join(this.#data, FORMER), { force: true });
    this.#deleteLitter();
    this.#isTidy = true;
  }

  /** Leaves what was written to whoever starts next. */
  close(): void {
    for (const lock of [this.#lock, ...this.#inherited.values()]) lock?.release();
    this.#lock = null;
    this.#inherited.clear();
  }

  /** Names of others' snapshots, in order, without their endings. */
  #files(): string[] {
    return this.#names(SNAPSHOT).filter((name) => name !== this.#own);
  }

  #names(ending: string): string[] {
    if (!existsSync(this.path)) return [];
    const names = readdirSync(this.path).filter((name) => name.endsWith(ending));
    return names.map((name) => name.slice(0, -ending.length)).sort();
  }

  /** A snapshot whose process is dead is kept from others who start now, and deleted when this one has written its own. */
  #inherit(name: string): void {
    if (this.#inherited.has(name)) return;
    const lock = this.#lockOfDead(name);
    if (lock !== null) this.#inherited.set(name, lock);
  }

  /** It is not ours to take over. */
  #leave(name: string): void {
    this.#inherited.get(name)?.release();
    this.#inherited.delete(name);
  }

  /** null: it lives, or nobody can tell. */
  #lockOfDead(name: string): Lock | null {
    try {
      return tryLock(this.#pathOf(name + LOCK));
    } catch {
      return null;
    }
  }

  #deleteLitter(): void {
    const snapshots = new Set(this.#names(SNAPSHOT));
    for (const name of this.#names(LOCK)) {
      if (snapshots.has(name) || name === this.#own || Date.now() - statSync(this.#pathOf(name + LOCK)).mtimeMs < LITTER_MS) continue;
      const lock = this.#lockOfDead(name);
      if (lock !== null) this.#delete(name);
      lock?.release();
    }
  }

  #delete(name: string): void {
    const left = readdirSync(this.path).filter((file) => file.startsWith(`${name}.`));
    for (const file of left.filter((each) => !each.endsWith(LOCK))) rmSync(this.#pathOf(file), { force: true });
    rmSync(this.#pathOf(name + LOCK), { force: true });
  }

  #pathOf(name: string): string {
    return join(this.path, name);
  }
}
