import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

let writes = 0;

/**
 * Replaces a file as a whole: whoever reads it, also after a crash of the machine at any moment, finds the old content or the new one. Only the
 * owner may read it, since what a gateway keeps can hold callers' texts.
 */
export async function writeAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.${++writes}.tmp`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const directory = await open(dirname(path), "r");
  try {
    await directory.sync(); // the new name is on disk only then
  } finally {
    await directory.close();
  }
}
