/** Upper bounds for a part of a pattern: ways to match it (as a function of the text's length n), and steps of one way. */
interface Cost {
  readonly ways: (n: number) => number;
  readonly size: number;
}

const atom: Cost = { ways: () => 1, size: 1 };
/** What the bound does not cover: lookarounds, backreferences, flags inside the pattern. */
const unbounded: Cost = { ways: () => Number.POSITIVE_INFINITY, size: 1 };

const quantifier = /(?:[*+?]|\{(\d+)(?:(,)(\d*))?\})\??/y;
const escaped = /\\[\s\S]/y;
/** With the flag `u`, braces behind these are no quantifier. */
const escapedUnicode = /\\(?:[pPu]\{[^}]*\}|[\s\S])/y;
const plainGroup = /\((?:\?:|\?<[^=!>][^>]*>)?(?!\?)/y;

function timesOf([text, from, comma, to]: RegExpExecArray): readonly [number, number] {
  if (from !== undefined) {
    const least = Number(from);
    if (comma === undefined) return [least, least];
    return [least, to === undefined || to === "" ? Number.POSITIVE_INFINITY : Number(to)];
  }
  return [text.startsWith("+") ? 1 : 0, text.startsWith("?") ? 1 : Number.POSITIVE_INFINITY];
}

function repeated({ ways, size }: Cost, least: number, most: number): Cost {
  return {
    ways: (n) => {
      // Behind the least number each round takes a character, but for a last one that is tried and given up.
      const times = Math.min(most, least + n + 1);
      return (times - least + 1) * ways(n) ** times;
    },
    size: size * Math.max(least, 1),
  };
}

/** Reads a pattern that is known to compile. Where it reads a construct as another one, the bound only grows. */
class Reader {
  readonly #pattern: string;
  readonly #unicode: boolean;
  #at = 0;
  #depth = 0;
  /** Whether the pattern has alternatives outside all brackets. */
  branches = false;

  constructor(pattern: string, unicode: boolean) {
    this.#pattern = pattern;
    this.#unicode = unicode;
  }

  /** Alternatives up to the end or the closing bracket. */
  alternatives(): Cost {
    const all: Cost[] = [this.#sequence()];
    while (this.#pattern[this.#at] === "|") {
      this.#at++;
      if (this.#depth === 0) this.branches = true;
      all.push(this.#sequence());
    }
    return { ways: (n) => all.reduce((sum, { ways }) => sum + ways(n), 0), size: all.reduce((sum, { size }) => sum + size, 0) };
  }

  #sequence(): Cost {
    const parts: Cost[] = [];
    while (this.#at < this.#pattern.length && this.#pattern[this.#at] !== "|" && this.#pattern[this.#at] !== ")") {
      let part = this.#part();
      for (let found = this.#take(quantifier); found !== null; found = this.#take(quantifier)) part = repeated(part, ...timesOf(found));
      parts.push(part);
    }
    return { ways: (n) => parts.reduce((product, { ways }) => product * ways(n), 1), size: parts.reduce((sum, { size }) => sum + size, 1) };
  }

  #part(): Cost {
    const first = this.#pattern[this.#at];
    if (first === "(") return this.#group();
    if (first === "[") return this.#class();
    if (first !== "\\") {
      this.#at++;
      return atom;
    }
    const [text = "\\"] = this.#take(this.#unicode ? escapedUnicode : escaped) ?? [];
    return /^\\(?:k|[1-9])/.test(text) ? unbounded : atom;
  }

  #group(): Cost {
    const plain = this.#take(plainGroup) !== null;
    if (!plain) this.#at++;
    this.#depth++;
    const inner = this.alternatives();
    this.#depth--;
    this.#at++;
    return plain ? inner : unbounded;
  }

  #class(): Cost {
    this.#at++;
    while (this.#at < this.#pattern.length && this.#pattern[this.#at] !== "]") this.#at += this.#pattern[this.#at] === "\\" ? 2 : 1;
    this.#at++;
    return atom;
  }

  #take(what: RegExp): RegExpExecArray | null {
    what.lastIndex = this.#at;
    const found = what.exec(this.#pattern);
    if (found !== null) this.#at = what.lastIndex;
    return found;
  }
}

/** Longest pattern, characters, whose bound is worked out: the reader calls itself for each bracket. */
const READ_LIMIT = 1_000;

/**
 * Upper bound of the steps that a backtracking engine takes to search a text for a pattern: starts x ways x size. A loop of
 * `least` to `most` rounds whose body matches in w ways has at most (most - least + 1) x w^most; an unbounded one has at most one
 * round more than the text has characters. Coarse by design (it counts ways that cannot be): a small bound is a proof that the
 * search is short, a large one says nothing.
 *
 * @param pattern one that compiles
 * @param unicode with the flag `u`; no other flag is covered
 * @returns steps as a function of the text's length in characters; Infinity where there is no proof
 */
export function patternSteps(pattern: string, unicode: boolean): (length: number) => number {
  if (pattern.length > READ_LIMIT) return () => Number.POSITIVE_INFINITY;
  const reader = new Reader(pattern, unicode);
  const { ways, size } = reader.alternatives();
  const anchored = pattern.startsWith("^") && !reader.branches;
  return (length) => {
    const steps = (anchored ? 1 : length + 1) * ways(length) * size;
    return Number.isNaN(steps) ? Number.POSITIVE_INFINITY : steps;
  };
}
