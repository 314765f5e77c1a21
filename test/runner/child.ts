import { appendFileSync } from "node:fs";
import { run } from "node:test";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { LeafCounter, type RunnerMessage } from "./outcome.ts";

/** The process in which test files run: `child.ts RESULTS FILE...`. Writes a `RunnerMessage` a line, at once, so that a crash loses none. */
const [, , results = "", ...files] = process.argv;
const counter = new LeafCounter();

function send(message: RunnerMessage): void {
  appendFileSync(results, `${JSON.stringify(message)}\n`);
}

/** The runner holds the other end: when it is killed, its tests must not live on. */
process.stdin.on("end", () => process.exit(1)).resume();
(process.stdin as unknown as { unref?: () => void }).unref?.();

interface Reported {
  readonly name: string;
  readonly nesting: number;
  readonly file?: string;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly details: { readonly type?: string; readonly error?: Error & { failureType?: string } };
}

function ended(data: Reported, hasFailed: boolean): void {
  const { error, type } = data.details;
  const outcome = counter.ended({
    name: data.name,
    nesting: data.nesting,
    file: data.file ?? files[0] ?? "",
    hasFailed: hasFailed && !data.todo,
    isSkipped: Boolean(data.skip) || Boolean(data.todo),
    isSuite: type === "suite",
    ...(error?.failureType === undefined ? {} : { failureType: error.failureType }),
    ...(typeof data.skip === "string" ? { error: data.skip } : {}),
    ...(error === undefined ? {} : { error: inspect(error.cause ?? error, { depth: 6 }) }),
  });
  if (outcome !== undefined) send({ kind: "outcome", ...outcome });
}

const tests = run({ files, isolation: "none", concurrency: 1 });
tests.on("test:start", (data) => counter.began(data.name, data.nesting));
tests.on("test:pass", (data) => ended(data as Reported, false));
tests.on("test:fail", (data) => ended(data as Reported, true));
tests.on("test:diagnostic", (data) => {
  // Errors thrown after a test had ended: Node only makes a note of them.
  if (data.message.startsWith("Error:") || data.message.startsWith("Warning:")) send({ kind: "note", text: data.message });
});
tests.once("test:summary", () => {
  void importedAll().then(() => send({ kind: "end" }));
});

/**
 * Without isolation Node 24 says nothing about a file that throws while it is loaded, and its later tests are silently
 * missing. Importing it again throws the same error again, from the module cache, and does nothing to a file that loaded.
 */
async function importedAll(): Promise<void> {
  for (const file of files) {
    try {
      await import(pathToFileURL(file).href);
    } catch (error) {
      send({ kind: "outcome", file, name: "(the file)", result: "failed", error: `it could not be loaded\n${inspect(error)}` });
    }
  }
}
