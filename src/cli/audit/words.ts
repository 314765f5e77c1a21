import type { AuditResult, ContenderResult, Noticing, Share } from "../../domain/audit/summary.ts";

/** What an audit read, beside its result. */
export interface Audited {
  readonly result: AuditResult;
  /** Model or version whose calls were drawn; empty when the calls name none. */
  readonly model: string;
  /** Users per call, by which exposed users are counted; null: the calls name no users. */
  readonly usersPerCall: number | null;
}

/** `12 min`, `1.5 h`, `14 h`. */
export function showHours(hours: number): string {
  if (hours < 1) return `${Math.round(hours * 60)} min`;
  return hours < 10 ? `${hours.toFixed(1)} h` : `${Math.round(hours)} h`;
}

export const showCount = (count: number): string => Math.round(count).toLocaleString("en-US");

/** Percent with as many digits as rollouts allow. */
export function showPercent(share: number): string {
  return `${Number((100 * share).toFixed(1))} %`;
}

/** A share with its Monte Carlo error (95 %): `93.2 % ± 1.6`, `0 % (< 0.4)`. */
export function showShare({ value, low, high }: Share): string {
  if (value === 0) return `0 % (< ${(100 * high).toFixed(1)})`;
  if (value === 1) return `100 % (> ${(100 * low).toFixed(1)})`;
  return `${showPercent(value)} ± ${((100 * (high - low)) / 2).toFixed(1)}`;
}

export function showExposed(calls: number, { usersPerCall }: Pick<Audited, "usersPerCall">): string {
  const [count, unit] = usersPerCall === null ? [calls, "call"] : [Math.max(1, calls * usersPerCall), "user"];
  return `${showCount(count)} ${unit}${Math.round(count) === 1 ? "" : "s"}`;
}

/** How soon harm was noticed: `1.5 h · 1,080 calls`, `> 24 h (31 %)`; `–` for harm that the rule does not look at. */
export function showNoticing({ isLookedAt, medianHours, medianCalls, stopped }: Noticing, audited: Audited): string {
  if (!isLookedAt) return "–";
  const some = stopped.value > 0 && stopped.value < 0.995 ? ` (${Math.round(100 * stopped.value)} %)` : "";
  if (medianHours === null || medianCalls === null) return `> ${audited.result.settings.hours} h${some}`;
  return `${showHours(medianHours)} · ${showExposed(medianCalls, audited)}${some}`;
}

/** A rule that stops identical models this often says little when it stops another. */
const SAYS_LITTLE = 0.2;

/** What was found, in three sentences. */
export function findings(audited: Audited): string[] {
  const { result } = audited;
  const { contenders, settings } = result;
  const freezes = contenders.find(({ name }) => name === "headgate freezes");
  const rollsBack = contenders.find(({ name }) => name === "headgate rolls back");
  const shown = contenders.filter(({ kind }) => kind === "own");
  const rule = worst(shown.length > 0 ? shown : contenders.filter(({ kind }) => kind === "ready_made"));
  const sentences: string[] = [];
  if (rule !== undefined) {
    const which = rule.kind === "own" ? `Your rule \`${rule.name}\`` : `The usual rule "${rule.name}"`;
    sentences.push(
      `${which} would have stopped ${showPercent(rule.identical.value)} of ${showCount(rule.identical.of)} rollouts of a model identical to yours within ${settings.hours} hours.`,
    );
  }
  if (freezes !== undefined && rollsBack !== undefined) {
    const back = rollsBack.identical.count === 0 ? "and rolled back none" : `and rolled back ${showPercent(rollsBack.identical.value)}`;
    sentences.push(`headgate froze ${showPercent(freezes.identical.value)} of the same rollouts (it promises at most ${showPercent(result.alpha)}) ${back}.`);
    const speed = speedOf(audited, rule, freezes);
    if (speed !== null) sentences.push(speed);
  }
  return sentences;
}

function worst(found: readonly ContenderResult[]): ContenderResult | undefined {
  return [...found].sort((a, b) => b.identical.value - a.identical.value)[0];
}

/** How fast both noticed the harm that headgate takes longest for, of what the rule looks at: the least flattering column. */
function speedOf(audited: Audited, rule: ContenderResult | undefined, freezes: ContenderResult): string | null {
  const { effects, settings } = audited.result;
  const seen = new Set(rule?.noticing.filter(({ isLookedAt }) => isLookedAt).map(({ effect }) => effect));
  const hoursOf = ({ medianHours }: Noticing) => medianHours ?? Number.POSITIVE_INFINITY;
  const slowest = freezes.noticing.filter(({ effect }) => seen.size === 0 || seen.has(effect)).sort((a, b) => hoursOf(b) - hoursOf(a))[0];
  const effect = effects.find(({ name }) => name === slowest?.effect);
  if (slowest === undefined || effect === undefined) return null;
  const own =
    slowest.medianHours === null || slowest.medianCalls === null
      ? `headgate did not notice in half of the rollouts within ${settings.hours} hours`
      : `headgate froze after ${showHours(slowest.medianHours)} (median) and ${showExposed(slowest.medianCalls, audited)}`;
  return `When ${effect.clause}, ${own}${comparedWith(rule, effect.name, settings.hours)}.`;
}

function comparedWith(rule: ContenderResult | undefined, effect: Noticing["effect"], hours: number): string {
  const found = rule?.noticing.find((noticing) => noticing.effect === effect);
  if (rule === undefined || found === undefined || !found.isLookedAt) return "";
  const which = rule.kind === "own" ? "your rule" : "that rule";
  if (found.medianHours === null) return `; ${which} did not notice in half of the rollouts within ${hours} hours`;
  const after = `; ${which} stopped after ${showHours(found.medianHours)}`;
  return rule.identical.value >= SAYS_LITTLE ? `${after}, but it also stops what is not worse` : after;
}
