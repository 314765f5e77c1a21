import { bet, coefficients, deltas, FREEZE_WEIGHTS, type Margin, type Null, nullsOf } from "../stats/bet.ts";
import { widened } from "../stats/design-effect.ts";
import { floorAlternatives, oneSampleLogE } from "../stats/floor.ts";
import { ln } from "../stats/ln.ts";
import { NANO } from "../stats/nano-nats.ts";
import { PAIRED_WEIGHTS, pairedBet } from "../stats/paired.ts";
import { type Distribution, meanOf } from "./distributions.ts";

/**
 * How long the very bet that decides needs on assumed distributions: its expected growth per block (statistics.md section 4). There
 * is no second formula. All times are in minutes and medians; null is never.
 *
 * @see Grünwald, de Heide and Koolen 2024, Safe testing, JRSS-B 86(5), doi:10.1093/jrsssb/qkae011 (growth of an e-value)
 */

/** Longest time that a block collects records for. */
const LONGEST_BLOCK = 15;
/** Records that each arm of a block should have. */
const LEAST_RECORDS = 5;

/** Records per minute that a signal has in each arm. */
export interface ArmRates {
  readonly candidate: number;
  readonly baseline: number;
}

/** What an answer costs in evidence. */
export interface Asked {
  /** Share of alpha (to freeze), or alpha_adv (to advance). */
  readonly alpha: number;
  /** Design effect of clustered subjects; 1: independent. */
  readonly deff: number;
  readonly paneMinutes: number;
}

/** One signal compared between two arms. */
export interface Compared {
  readonly margin: Margin;
  readonly candidate: Distribution;
  readonly baseline: Distribution;
  /** Variance of a loss; null for pass/fail, where it follows from the mean. */
  readonly v: number | null;
}

/** Minutes that a block lasts: one pane, or until both arms have five records, at most 15 minutes. */
export function blockMinutes({ candidate, baseline }: ArmRates, paneMinutes: number): number {
  return Math.max(paneMinutes, Math.min(LONGEST_BLOCK, LEAST_RECORDS / Math.min(candidate, baseline)));
}

/** Expected log e of a block of one component, nats. */
function growth({ candidate, baseline, v }: Compared, arms: ArmRates, nullHypothesis: Null, delta: number): number {
  const { ca, ta, cb, tb } = coefficients(arms.candidate, arms.baseline, { pref: meanOf(baseline), v }, nullHypothesis, delta);
  return arms.candidate * bet(candidate, ca, ta) + arms.baseline * bet(baseline, cb, tb);
}

/** The first component to reach the threshold: it must also make up for its weight in the mixture. */
function firstToReach(growths: readonly number[], weights: readonly number[], alpha: number, minutes: number): number | null {
  let first: number | null = null;
  growths.forEach((g, k) => {
    if (!(g > 0)) return;
    const time = ((ln(1 / alpha) + ln(1 / (weights[k] ?? 1))) / g) * minutes;
    if (first === null || time < first) first = time;
  });
  return first;
}

const alike: readonly number[] = [1, 1, 1, 1, 1];
const isSilent = ({ candidate, baseline }: ArmRates) => !(candidate > 0) || !(baseline > 0);

/** Minutes until a candidate that is like `compared.candidate` is frozen. */
export function minutesToFreeze(compared: Compared, arms: ArmRates, { alpha, deff, paneMinutes }: Asked): number | null {
  if (isSilent(arms)) return null;
  const minutes = blockMinutes(arms, paneMinutes);
  const block = { candidate: arms.candidate * minutes, baseline: arms.baseline * minutes };
  const { freeze } = deltas(compared.margin, meanOf(compared.baseline));
  const growths = freeze.map((delta) => growth(compared, block, nullsOf(compared.margin).freeze, delta) / deff);
  return firstToReach(growths, FREEZE_WEIGHTS, alpha, minutes);
}

/** Minutes until it is proven within its limit. */
export function minutesToAdvance(compared: Compared, arms: ArmRates, { alpha, deff, paneMinutes }: Asked): number | null {
  if (isSilent(arms)) return null;
  const minutes = blockMinutes(arms, paneMinutes);
  const block = { candidate: arms.candidate * minutes, baseline: arms.baseline * minutes };
  const { advance } = deltas(compared.margin, meanOf(compared.baseline));
  const growths = advance.map((delta) => growth(compared, block, nullsOf(compared.margin).advance, delta) / widened(deff));
  return firstToReach(growths, alike, alpha, minutes);
}

/** The same for a floor: one arm against a bound t on its mean loss. */
export function minutesAgainstFloor(candidate: Distribution, t: number, perMinute: number, use: "freeze" | "advance", { alpha, deff }: Asked): number | null {
  if (!(perMinute > 0)) return null;
  const alternatives = floorAlternatives(t)[use];
  const tempered = use === "advance" ? widened(deff) : deff;
  const growths = alternatives.map((p) => (perMinute * oneSampleLogE(candidate, t, p)) / tempered);
  return firstToReach(growths, use === "freeze" ? FREEZE_WEIGHTS : alike, alpha, 1);
}

/** The same for pairs of answers to one prompt: `d` is what is tolerated (to freeze) or the limit (to advance). */
export function minutesOfPairs(
  pairs: Distribution,
  d: number,
  perMinute: number,
  use: "freeze" | "advance",
  { alpha, deff, paneMinutes }: Asked,
): number | null {
  if (!(perMinute > 0)) return null;
  const minutes = blockMinutes({ candidate: perMinute, baseline: perMinute }, paneMinutes);
  const block = { values: pairs.values, counts: pairs.counts.map((p) => p * perMinute * minutes) };
  const tempered = use === "advance" ? widened(deff) : deff;
  const growths = pairedBet(block, d, use).map((nanoNats) => nanoNats / NANO / tempered);
  return firstToReach(growths, use === "freeze" ? PAIRED_WEIGHTS : alike, alpha, minutes);
}
