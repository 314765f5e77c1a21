#!/usr/bin/env node
/** The `headgate` command. Says which Node it needs before anything is loaded that an older one cannot even parse. */
const oldestNode = 24;
if (Number(process.versions.node.split(".")[0]) < oldestNode) {
  console.error(`error: headgate needs Node ${oldestNode} or later, and this is ${process.versions.node}\n  fix: put a newer Node first on the PATH`);
  process.exit(2);
}
await import("./start.ts");
