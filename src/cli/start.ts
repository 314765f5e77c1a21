import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { endProcess } from "../runtime/process/end-process.ts";
import { roleNames } from "./roles.ts";
import { run } from "./run.ts";
import { processTerminal } from "./terminal.ts";

const interrupt = new AbortController();
const argv = process.argv.slice(2);
const isRole = [...roleNames, "up"].includes(argv[0] ?? "");
// Roles take signals themselves; every other command ends its looking on and then says where things stand.
if (!isRole) {
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
if (isRole) await endProcess(code);
// A command may have set one itself (topics).
if (code !== 0 || process.exitCode === undefined) process.exitCode = code;
