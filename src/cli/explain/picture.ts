/** What is drawn: harms as fractions, plus is worse. Ends null: no interval is known, only the point. */
export interface Harm {
  readonly low: number | null;
  readonly centre: number | null;
  readonly high: number | null;
  readonly tolerated: number;
  readonly limit: number;
}

/** How much of the axis lies on either side of what matters, in limits. */
const MOST_LIMITS = 3;

interface Axis {
  readonly from: number;
  readonly to: number;
}

/** From no harm (or better) to beyond the limit; an interval much wider than the margins is cut off, not the margins. */
export function axisOf({ low, centre, high, limit }: Harm): Axis {
  const known = [low, centre, high].filter((value) => value !== null);
  const most = MOST_LIMITS * limit;
  return { from: Math.max(-most, Math.min(-0.4 * limit, ...known)), to: Math.min(most, Math.max(1.4 * limit, ...known)) };
}

/**
 * The interval of a harm against no harm `0`, what is tolerated `T` and the limit `L`: `├──●──┤`; `‹` and `›` where it goes on.
 *
 * @param width in letters, at least 12
 */
export function picture(harm: Harm, width: number): string {
  const axis = axisOf(harm);
  const cells = new Array<string>(width).fill("·");
  const place = (value: number) => Math.round(((value - axis.from) / (axis.to - axis.from)) * (width - 1));
  const put = (value: number | null, mark: string) => {
    if (value !== null) cells[Math.max(0, Math.min(width - 1, place(value)))] = mark;
  };
  if (harm.low !== null && harm.high !== null) {
    const [first, last] = [Math.max(0, place(harm.low)), Math.min(width - 1, place(harm.high))];
    for (let i = first; i <= last; i++) cells[i] = "─";
    put(harm.low, harm.low < axis.from ? "‹" : "├");
    put(harm.high, harm.high > axis.to ? "›" : "┤");
  }
  put(0, "0");
  put(harm.tolerated, "T");
  put(harm.limit, "L");
  // The point last: it is what people look for first.
  put(harm.centre, harm.centre !== null && harm.centre < axis.from ? "‹" : harm.centre !== null && harm.centre > axis.to ? "›" : "●");
  return cells.join("");
}

/** A share as a bar of ten: `██████░░░░ 61 %`. */
export function bar(share: number): string {
  const full = Math.max(0, Math.min(10, Math.floor(share * 10)));
  return `${"█".repeat(full)}${"░".repeat(10 - full)} ${Math.floor(100 * share)} %`;
}
