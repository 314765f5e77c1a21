import { hash32 } from "../hash/hash32.ts";

/**
 * What a window task must know beside the frames themselves to go on where its predecessor stopped. All times are event time, epoch ms. A pane of a route and
 * group is closed (its round 0 is written) exactly when it ends at or before the group's `closedToMs`.
 */
export interface GroupFrontier {
  readonly closedToMs: number;
  /** Offset of the oldest entry that came after its pane was closed and is not written yet; everything older is. */
  readonly lateFrom: number;
  /** Number of the last round of late entries that was written, 0 for none. */
  readonly rounds: number;
}

export interface RouteFrontier {
  readonly calls: GroupFrontier;
  readonly judge: GroupFrontier;
  readonly outcome: GroupFrontier;
}

export interface Frontier {
  /** Next offset of `partials`: everything before it is counted in what is written or will be counted again from the committed offset on. */
  readonly position: number;
  /** Least watermark of all sources that was seen; null: unknown. */
  readonly watermarkMs: number | null;
  /** Watermark at the last refresh of the rolling windows; null: never. */
  readonly refreshedMs: number | null;
  /** Where all groups of every route stand that is not listed; null: nothing is closed. */
  readonly defaultMs: number | null;
  /** Rounds of routes that are not listed. */
  readonly baseRounds: number;
  /** Routes that stand elsewhere than the default, by `routeId`. */
  readonly routes: ReadonlyMap<string, RouteFrontier>;
}

export const emptyFrontier: Frontier = { position: 0, watermarkMs: null, refreshedMs: null, defaultMs: null, baseRounds: 0, routes: new Map() };

/** The port's limit for commit metadata, bytes. */
export const FRONTIER_BYTES = 4_000;

const FORMAT = "w1";
const BASE = 36;
const SECOND_SEED = 0x1f83d9ab;

/** Names of routes can be long: 64 bits of hash tell those of one partition apart. */
export const routeId = (route: string): string => `${hash32(route).toString(BASE)}.${hash32(route, SECOND_SEED).toString(BASE)}`;

const written = (n: number): string => (n === 0 ? "" : n.toString(BASE));
const maybe = (n: number | null): string => (n === null ? "" : n.toString(BASE));
const read = (text = ""): number => (text === "" ? 0 : Number.parseInt(text, BASE));
const readMaybe = (text = ""): number | null => (text === "" ? null : Number.parseInt(text, BASE));

/** The fields in which a route differs from the default; empty when it does not. */
function difference(route: RouteFrontier, { position, defaultMs, baseRounds }: Frontier): string {
  const { calls, judge, outcome } = route;
  const fields = [
    written((defaultMs ?? 0) - calls.closedToMs),
    written(calls.closedToMs - judge.closedToMs),
    written(position - calls.lateFrom),
    written(position - judge.lateFrom),
    written(calls.rounds - baseRounds),
    written(judge.rounds - baseRounds),
    written(calls.closedToMs - outcome.closedToMs),
    written(position - outcome.lateFrom),
    written(outcome.rounds - baseRounds),
  ];
  return fields.join(":").replace(/:+$/, "");
}

/**
 * The frontier as text: `w1|position|watermark|refreshed|default|base rounds|id:fields|...`, numbers in base 36. The fields of a route are, zeros and the
 * end left out: default minus calls' closedTo, calls' minus judge's closedTo, position minus lateFrom (calls, judge), rounds minus base (calls, judge), then
 * of outcomes: calls' minus their closedTo, position minus lateFrom, rounds minus base. A route that stands at the default takes nothing, one whose judged panes are behind about 20 bytes.
 */
export function encodeFrontier(frontier: Frontier): string {
  const { position, watermarkMs, refreshedMs, defaultMs, baseRounds, routes } = frontier;
  const head = [FORMAT, position.toString(BASE), maybe(watermarkMs), maybe(refreshedMs), maybe(defaultMs), written(baseRounds)];
  const listed = [...routes].flatMap(([id, route]) => {
    const fields = difference(route, frontier);
    return fields === "" ? [] : [`${id}:${fields}`];
  });
  return [...head, ...listed].join("|");
}

/** @throws {Error} when the text was not written by `encodeFrontier` */
export function decodeFrontier(text: string): Frontier {
  if (text === "") return emptyFrontier;
  const [format, position, watermark, refreshed, closed, base, ...listed] = text.split("|");
  if (format !== FORMAT) throw new Error(`commit metadata of format ${format} instead of ${FORMAT}`);
  const head = {
    position: read(position),
    watermarkMs: readMaybe(watermark),
    refreshedMs: readMaybe(refreshed),
    defaultMs: readMaybe(closed),
    baseRounds: read(base),
  };
  const routes = new Map<string, RouteFrontier>();
  for (const part of listed) {
    const [id = "", ...fields] = part.split(":");
    const [behind = 0, judgeBehind = 0, late = 0, judgeLate = 0, rounds = 0, judgeRounds = 0, ...rest] = fields.map(read);
    const [outcomeBehind = 0, outcomeLate = 0, outcomeRounds = 0] = rest;
    const closedToMs = (head.defaultMs ?? 0) - behind;
    const calls = { closedToMs, lateFrom: head.position - late, rounds: head.baseRounds + rounds };
    const judge = { closedToMs: closedToMs - judgeBehind, lateFrom: head.position - judgeLate, rounds: head.baseRounds + judgeRounds };
    const outcome = { closedToMs: closedToMs - outcomeBehind, lateFrom: head.position - outcomeLate, rounds: head.baseRounds + outcomeRounds };
    if ([calls, judge, outcome].flatMap((group) => Object.values(group)).some(Number.isNaN)) throw new Error(`commit metadata that cannot be read: ${part}`);
    routes.set(id, { calls, judge, outcome });
  }
  return { ...head, routes };
}
