/** A stretch of time with one rate and one mix of calls. */
export interface Slot {
  /** Calls of all users per minute. */
  readonly callsPerMinute: number;
  /** Index of the mix of calls that is drawn from. */
  readonly cell: number;
}

/** When calls come, repeated for as long as a rollout lasts. */
export interface Arrivals {
  /** `day`: the hours of a day, each with its rate; `stretch`: the recorded stretch over and over; `steady`: one rate. */
  readonly kind: "day" | "stretch" | "steady";
  readonly slotMinutes: number;
  readonly slots: readonly Slot[];
  /** Rows of each cell, by index. */
  readonly cells: readonly (readonly number[])[];
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** Rows that a mix must rest on; with fewer, hours are put together (the product's cells of the day: 6 hours). */
const LEAST_ROWS = 200;
/** A stretch is told apart from one batch by this many different minutes. */
const LEAST_MINUTES = 10;
const STRETCH_SLOT_MINUTES = 5;
/** Share of rows that must carry a time. */
const LEAST_TIMED = 0.95;

/**
 * The arrival pattern of recorded calls: by the hour of the day when they span one, else as they came; steady when the
 * rows carry no times (or one time for a whole batch).
 *
 * @param times epoch ms per row, null where there is none
 * @param callsPerSecond replaces the recorded mean rate and keeps the pattern; null: as recorded
 * @param assumed calls per second where nothing is recorded or given
 */
export function arrivalsOf(times: readonly (number | null)[], callsPerSecond: number | null, assumed: number): Arrivals {
  const all = times.map((_, row) => row);
  const timed = all.filter((row) => times[row] !== null);
  const at = (row: number) => times[row] ?? 0;
  const minutes = new Set(timed.map((row) => Math.floor(at(row) / MINUTE_MS)));
  if (timed.length < LEAST_TIMED * times.length || minutes.size < LEAST_MINUTES) {
    const slot = { callsPerMinute: 60 * (callsPerSecond ?? assumed), cell: 0 };
    return { kind: "steady", slotMinutes: 60, slots: [slot], cells: [all] };
  }
  const sorted = timed.map(at).sort((a, b) => a - b);
  const fromMs = sorted[0] ?? 0;
  const spanMs = (sorted.at(-1) ?? 0) - fromMs;
  const recorded = spanMs >= DAY_MS ? byHour(timed, at, fromMs, spanMs) : asTheyCame(timed, at, fromMs, spanMs);
  return callsPerSecond === null ? recorded : scaled(recorded, 60 * callsPerSecond);
}

/** Mean rate, calls per minute. */
export function meanRate({ slots }: Pick<Arrivals, "slots">): number {
  return slots.reduce((sum, { callsPerMinute }) => sum + callsPerMinute, 0) / slots.length;
}

function scaled(arrivals: Arrivals, callsPerMinute: number): Arrivals {
  const factor = callsPerMinute / meanRate(arrivals);
  return { ...arrivals, slots: arrivals.slots.map((slot) => ({ ...slot, callsPerMinute: slot.callsPerMinute * factor })) };
}

function byHour(rows: readonly number[], at: (row: number) => number, fromMs: number, spanMs: number): Arrivals {
  const hours: number[][] = Array.from({ length: 24 }, () => []);
  for (const row of rows) hours[hourOf(at(row))]?.push(row);
  const minutesIn = Array.from({ length: 24 }, () => 0);
  for (let ms = fromMs; ms < fromMs + spanMs; ms += MINUTE_MS) minutesIn[hourOf(ms)] = (minutesIn[hourOf(ms)] ?? 0) + 1;
  const width = [1, 6, 24].find((candidate) => isEnough(hours, candidate)) ?? 24;
  const cells = Array.from({ length: 24 / width }, (_, cell) => hours.slice(cell * width, (cell + 1) * width).flat());
  const slots = hours.map((found, hour) => ({ callsPerMinute: found.length / Math.max(1, minutesIn[hour] ?? 1), cell: Math.floor(hour / width) }));
  return { kind: "day", slotMinutes: 60, slots, cells };
}

const hourOf = (ms: number) => Math.floor((((ms % DAY_MS) + DAY_MS) % DAY_MS) / HOUR_MS);

/** Whether each stretch of the day that has calls at all has enough of them. */
function isEnough(hours: readonly (readonly number[])[], width: number): boolean {
  for (let hour = 0; hour < 24; hour += width) {
    const rows = hours.slice(hour, hour + width).reduce((sum, found) => sum + found.length, 0);
    if (rows > 0 && rows < LEAST_ROWS) return false;
  }
  return true;
}

function asTheyCame(rows: readonly number[], at: (row: number) => number, fromMs: number, spanMs: number): Arrivals {
  const slotMs = STRETCH_SLOT_MINUTES * MINUTE_MS;
  // A last slot that is not over would be taken for a quiet one.
  const length = Math.max(1, Math.floor(spanMs / slotMs));
  const counts = Array.from({ length }, () => 0);
  for (const row of rows) {
    const slot = Math.floor((at(row) - fromMs) / slotMs);
    if (slot < length) counts[slot] = (counts[slot] ?? 0) + 1;
  }
  const slots = counts.map((count) => ({ callsPerMinute: count / STRETCH_SLOT_MINUTES, cell: 0 }));
  return { kind: "stretch", slotMinutes: STRETCH_SLOT_MINUTES, slots, cells: [rows] };
}
