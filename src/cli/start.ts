import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { roleNames } from "./roles.ts";
import { run } from "./run.ts";
import { processTerminal } from "./terminal.ts";

const interrupt = new AbortController();
const argv = process.argv.slice(2);
// Roles take signals themselves; every other command ends its looking on and then says where things stand.
if (![...roleNames, "up"].includes(argv[0] ?? "")) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());
}

const code = await run(argv, {
  terminal: processTerminal(process, process.env),
  env: process.env,
  fetch,
  now: Date.now,
  read: (path) => (path === "-" ? text(process.stdin) : readFile(path, "utf8")),
  interrupted: interrupt.signal,
  exitCode: 0,
});
// A command may have set one itself (topics).
if (code !== 0 || process.exitCode === undefined) process.exitCode = code;
