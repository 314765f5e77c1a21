import { requests } from "../../../../topics/index.ts";

/** The texts of a record that can be long. */
export interface BodyTexts {
  readonly requestBody: string | null;
  readonly responseBody: string | null;
  readonly responseFormat: string | null;
  readonly reference: string | null;
  readonly twinBody: string | null;
}

/**
 * Bytes that all texts of one record may have. The runtime fills 95 % of a topic's limit and refuses what is longer; a twentieth is left for the other
 * fields. With less room every record that was cut would be refused, and lost.
 */
export const MAX_TEXT_BYTES = Math.floor((requests.maxBytes ?? 1024 * 1024) * 0.9);

/** First `maxBytes` bytes of a text in UTF-8, without a broken character at the end. */
function cutText(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text, "utf8");
  let end = Math.min(maxBytes, bytes.length);
  // Step back over continuation bytes, so that the cut falls between two characters.
  while (end > 0 && end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}

/**
 * Cuts the texts of a record so that together they fit. What checks and judges need most is kept longest: the answer first, then what it
 * is checked against, the twin's answer, and the prompt last.
 *
 * @returns `cut`: whether any text was shortened or left out
 */
export function fitBodies(texts: BodyTexts, maxBytes = MAX_TEXT_BYTES): BodyTexts & { readonly cut: boolean } {
  const { requestBody, responseBody, responseFormat, reference, twinBody } = texts;
  const all = [responseBody, responseFormat, reference, twinBody, requestBody];
  // A UTF-16 unit is at most three bytes: nearly every record is known to fit without counting.
  const units = all.reduce((sum, text) => sum + (text?.length ?? 0), 0);
  if (units * 3 <= maxBytes) return { ...texts, cut: false };
  let left = maxBytes;
  let cut = false;
  const fit = (text: string | null, isUsefulInPart: boolean): string | null => {
    if (text === null) return null;
    const bytes = Buffer.byteLength(text, "utf8");
    if (bytes <= left) {
      left -= bytes;
      return text;
    }
    cut = true;
    const kept = isUsefulInPart && left > 0 ? cutText(text, left) : null;
    left -= kept === null ? 0 : Buffer.byteLength(kept, "utf8");
    return kept;
  };
  const fitted = {
    responseBody: fit(responseBody, true),
    responseFormat: fit(responseFormat, false),
    reference: fit(reference, false),
    twinBody: fit(twinBody, true),
    requestBody: fit(requestBody, true),
  };
  return { ...fitted, cut };
}
