const firstMs = 250;
const longestMs = 15_000;
/** No endpoint may hold us longer than this with one answer. */
const longestRetryAfterMs = 120_000;

/** How each of the three forms of RFC 9110 section 5.6.7 begins. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:[a-z]*,| [A-Z][a-z]{2} )/;

/**
 * Pause before the next attempt: full jitter, uniform from 0 to a bound that doubles.
 *
 * @param failures attempts that failed, at least 1
 * @param dice uniform in [0, 1)
 * @returns ms
 * @see Brooker 2015, Exponential backoff and jitter, AWS Architecture Blog
 */
export function fullJitterMs(failures: number, dice: number): number {
  return Math.floor(dice * Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, 16)));
}

/**
 * A Retry-After header as a pause: seconds (fractions are accepted) or an HTTP date.
 *
 * @returns ms, at most 120,000, or null when there is none that can be read
 * @see RFC 9110 section 10.2.3
 */
export function retryAfterMs(header: string | null | undefined, nowMs: number): number | null {
  const text = header?.trim() ?? "";
  if (text === "") return null;
  if (/^\d+(\.\d+)?$/.test(text)) return Math.min(longestRetryAfterMs, Math.ceil(Number(text) * 1000));
  // `Date.parse` takes a lot for a date: "-1" is a day of 2001.
  const atMs = HTTP_DATE.test(text) ? Date.parse(text.endsWith("GMT") ? text : `${text} GMT`) : Number.NaN;
  return Number.isNaN(atMs) ? null : Math.min(longestRetryAfterMs, Math.max(0, atMs - nowMs));
}
