import type { CatalogEntry } from "../../../topics/index.ts";
import { builtinRubrics } from "../../domain/judging/builtin.ts";
import type { Rubric } from "../../domain/judging/rubric.ts";
import { KnownError } from "../../errors/known-error.ts";
import { rubricDigest } from "./digest.ts";
import { parseRubric } from "./rubric-file.ts";

export type FoundRubric = { readonly kind: "rubric"; readonly rubric: Rubric; readonly text: string } | { readonly kind: "missing"; readonly problem: string };

/** What we need of the table of `catalog`. */
export interface Catalog {
  get(digest: string): CatalogEntry | undefined;
  onChange(listener: (digest: string) => void): void;
}

/** Rubrics by the digest of their text: from the catalog, else those that come with headgate. */
export class RubricSource {
  readonly #catalog: Catalog;
  readonly #waitMs: number;
  readonly #now: () => number;
  readonly #builtin: ReadonlyMap<string, string>;
  readonly #known = new Map<string, FoundRubric>();
  /** When a digest was first looked for in vain, epoch ms. */
  readonly #missingSince = new Map<string, number>();
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(catalog: Catalog, options: { readonly waitMs: number; readonly now: () => number }) {
    this.#catalog = catalog;
    this.#waitMs = options.waitMs;
    this.#now = options.now;
    this.#builtin = new Map(builtinRubrics.map(({ text }) => [rubricDigest(text), text]));
    catalog.onChange((digest) => {
      for (const arrived of this.#waiting.get(digest) ?? []) arrived();
    });
  }

  /**
   * The rubric of a digest. One that is not in the catalog is waited for, since spec and text travel on different topics;
   * the wait counts from the first sample that wants it.
   */
  async find(digest: string, signal: AbortSignal): Promise<FoundRubric> {
    const found = this.#look(digest);
    if (found !== null) return found;
    const since = this.#missingSince.get(digest) ?? this.#now();
    this.#missingSince.set(digest, since);
    const leftMs = since + this.#waitMs - this.#now();
    if (leftMs > 0) await this.#arrival(digest, leftMs, signal);
    return this.#look(digest) ?? { kind: "missing", problem: `rubric ${digest} is not in the catalog` };
  }

  #look(digest: string): FoundRubric | null {
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    const text = this.#catalog.get(digest)?.text ?? this.#builtin.get(digest);
    if (text === undefined) return null;
    this.#missingSince.delete(digest);
    const found = read(digest, text);
    this.#known.set(digest, found);
    return found;
  }

  #arrival(digest: string, ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(digest) ?? new Set();
    this.#waiting.set(digest, waiting.add(resolve));
    const timer = setTimeout(resolve, ms);
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      waiting.delete(resolve);
      if (waiting.size === 0 && this.#waiting.get(digest) === waiting) this.#waiting.delete(digest);
    });
  }
}

function read(digest: string, text: string): FoundRubric {
  try {
    return { kind: "rubric", rubric: parseRubric(text), text };
  } catch (error) {
    if (!(error instanceof KnownError)) throw error;
    return { kind: "missing", problem: `rubric ${digest} is not valid` };
  }
}
