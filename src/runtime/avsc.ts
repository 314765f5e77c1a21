import { createRequire } from "node:module";
import type * as Avsc from "avsc";

/**
 * avsc, loaded without the deprecation notice that its use of SlowBuffer makes Node print once per process (DEP0030); every
 * other warning comes through. Import this instead of `avsc`, and before anything that imports `avsc` itself.
 */
export const avro = loadQuietly();

function loadQuietly(): typeof Avsc {
  const emitWarning = process.emitWarning;
  process.emitWarning = ((...warning: Parameters<typeof emitWarning>) => {
    if (!(warning as readonly unknown[]).includes("DEP0030")) emitWarning.apply(process, warning);
  }) as typeof emitWarning;
  try {
    return createRequire(import.meta.url)("avsc");
  } finally {
    process.emitWarning = emitWarning;
  }
}
