import { DatabaseSync } from "node:sqlite";

export interface Lock {
  release(): void;
}

const SQLITE_BUSY = 5;

/**
 * Takes a lock that the operating system gives back when its holder ends, however it ends: no process id that another process may have by now, no
 * age that a slow machine may exceed. SQLite is the way to such a lock in Node; nothing is ever written.
 *
 * @returns null when a live process holds it
 */
export function tryLock(path: string): Lock | null {
  const file = new DatabaseSync(path, { timeout: 0 });
  try {
    file.exec("BEGIN EXCLUSIVE");
    return { release: () => file.close() };
  } catch (error) {
    file.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return null;
    throw error;
  }
}
