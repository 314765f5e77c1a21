import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { CallerConfig, Callers } from "./callers.ts";

export interface WatchCallersOptions {
  /** The gateway's file. */
  readonly path: string;
  /** Callers that its text lists. @throws when the text cannot be used, saying everything that is wrong */
  readonly parse: (text: string) => readonly CallerConfig[] | null;
  /** As they were read at the start. */
  readonly started: readonly CallerConfig[] | null;
  readonly callers: Callers;
  readonly log: Logger;
  /** After each change of the file: `problem` is null when it is used. */
  readonly onLook: (about: { readonly problem: string | null }) => void;
  readonly everyMs?: number;
}

/** A key that is taken back is refused after two looks. */
const EVERY_MS = 1_000;

/**
 * Reads the gateway's file again and again for its `callers`, so that a key is given, changed or taken back without a restart. A text is used when it is found
 * twice in a row: an editor may be in the middle of it. Of one that is wrong nothing is used, and the callers stay as they were.
 *
 * Whether callers are listed at all changes only by a restart: half a file must not open the gateway to everybody.
 *
 * @returns ends it
 */
export function watchCallers(options: WatchCallersOptions): () => void {
  const { path, callers, log, onLook } = options;
  let used = options.started;
  let seen: string | null = null;
  /** The text that is in use, and what is wrong with the one that the file has now, as far as it was told. */
  let settled: string | undefined;
  let told: string | null = null;
  const look = () => {
    const text = textOf(path);
    const isSettled = text === seen;
    seen = text;
    if (!isSettled || (text !== null && text === settled && told === null)) return;
    const found = foundIn(text, options);
    onLook({ problem: found.problem });
    // It is looked at again: what is wrong can be a file that it names, which is there a moment later.
    if (found.problem !== null && found.problem === told) return;
    told = found.problem;
    if (found.problem !== null) {
      log.error({ path, problem: found.problem }, "the gateway's file has changed and cannot be used: the callers stay as they were");
      return;
    }
    settled = text ?? undefined;
    if (isDeepStrictEqual(found.callers, used)) return;
    log.info({ path, ...differenceOf(used ?? [], found.callers ?? []) }, "the callers have changed and are let in or refused accordingly from now on");
    used = found.callers;
    callers.replace(found.callers);
  };
  const timer = setInterval(look, options.everyMs ?? EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

type FoundCallers = { readonly callers: readonly CallerConfig[] | null; readonly problem: string | null };

function foundIn(text: string | null, { path, parse, started }: WatchCallersOptions): FoundCallers {
  if (text === null) return { callers: null, problem: `${path} cannot be read` };
  let callers: readonly CallerConfig[] | null;
  try {
    callers = parse(text);
  } catch (error) {
    return { callers: null, problem: (error as Error).message };
  }
  if (callers === null && started !== null) return { callers, problem: `${path} lists no callers any more: to let in everybody takes a restart` };
  if (callers !== null && started === null) return { callers, problem: `${path} lists callers now, where everybody was let in: that takes a restart` };
  return { callers, problem: null };
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

/** Names of callers, never their hashes. */
function differenceOf(before: readonly CallerConfig[], now: readonly CallerConfig[]) {
  const nameIn = (list: readonly CallerConfig[]) => new Map(list.map((each) => [each.name, each]));
  const [old, next] = [nameIn(before), nameIn(now)];
  return {
    added: now.flatMap(({ name }) => (old.has(name) ? [] : [name])),
    changed: now.flatMap((each) => (old.has(each.name) && !isDeepStrictEqual(old.get(each.name), each) ? [each.name] : [])),
    removed: before.flatMap(({ name }) => (next.has(name) ? [] : [name])),
  };
}
