const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Levels of arrays and objects that a text of JSON may have: far more than any real one, far fewer than exhaust the stack of whoever walks them. */
export const MOST_LEVELS = 256;

/** Index of the quote that ends the string whose opening quote stands at `from`. */
export function endOfString(json: string, from: number): number {
  let end = from;
  for (;;) {
    end = json.indexOf('"', end + 1);
    if (end < 0) return json.length;
    let escapes = 0;
    while (json.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return end;
  }
}

/** Whether there are more than `most` of one character. */
function hasMoreThan(text: string, character: string, most: number): boolean {
  let at = -1;
  for (let seen = 0; seen <= most; seen++) {
    at = text.indexOf(character, at + 1);
    if (at < 0) return false;
  }
  return true;
}

/**
 * Whether arrays and objects stand within each other on more levels than may be. `JSON.parse` takes any number of them, but whatever walks the value then,
 * `JSON.stringify` first, ends with an exhausted stack. Texts that are short or have few brackets, which nearly all are, are known to be flat at the cost of a search.
 */
export function isTooDeep(json: string, most = MOST_LEVELS): boolean {
  // One level takes two characters.
  if (json.length <= most * 2) return false;
  // The kinds may take turns: each alone can make up for half of the levels.
  const half = most >> 1;
  if (!hasMoreThan(json, "[", half) && !hasMoreThan(json, "{", half)) return false;
  let depth = 0;
  for (let i = 0; i < json.length; i++) {
    switch (json.charCodeAt(i)) {
      case QUOTE:
        i = endOfString(json, i);
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > most) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      default:
    }
  }
  return false;
}
