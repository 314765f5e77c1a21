import { type Measure, measureNames, measureOf } from "./signals.ts";

/** What a rule compares with. */
export type Limit =
  /** So many times the baseline's value. */
  | { readonly kind: "ratio"; readonly factor: number }
  /** The baseline's rate plus so much; a fraction: 0.02 is 2 points. */
  | { readonly kind: "points"; readonly points: number }
  /** A fixed value: a rate of 0..1, milliseconds, dollars or tokens. */
  | { readonly kind: "absolute"; readonly value: number };

export interface Condition {
  readonly measure: Measure;
  readonly operator: ">" | ">=" | "<" | "<=";
  readonly limit: Limit;
}

/** A rule as its user wrote it, understood. */
export interface Rule extends Condition {
  readonly text: string;
  /** Minutes of calls that one look takes together. */
  readonly windowMinutes: number;
  /** Minutes from one look to the next. */
  readonly everyMinutes: number;
  /** Looks in a row that must breach. */
  readonly times: number;
}

/** Why a rule cannot be read. */
export interface RuleProblem {
  /** Column of the first letter that is wrong, from 1. */
  readonly column: number;
  readonly message: string;
}

export type ParsedRule = { readonly kind: "rule"; readonly rule: Rule } | { readonly kind: "problem"; readonly problem: RuleProblem };

/** Window of a rule that names none: what a rate is commonly taken over. */
const DEFAULT_WINDOW_MINUTES = 5;
const LONGEST_MINUTES = 24 * 60;

interface Token {
  readonly text: string;
  readonly column: number;
}

class Unreadable extends Error {
  readonly problem: RuleProblem;
  constructor(token: Token, message: string) {
    super(message);
    this.problem = { column: token.column, message };
  }
}

/**
 * Reads `SIGNAL OP VALUE [for DURATION] [every DURATION] [N times]`, for example `latency_p95 > 1.10x for 15m`.
 *
 * VALUE relative to the baseline at the same time: `1.10x`, `+10%`, `-5%`, `+2pp`; or fixed: `2000ms`, `2s`, `0.99`, `2%`, `$0.03`.
 */
export function parseRule(text: string): ParsedRule {
  try {
    return { kind: "rule", rule: read(text) };
  } catch (error) {
    if (error instanceof Unreadable) return { kind: "problem", problem: error.problem };
    throw error;
  }
}

function tokensOf(text: string): Token[] {
  return [...text.matchAll(/[<>]=?|[^\s<>]+/g)].map((match) => ({ text: match[0], column: match.index + 1 }));
}

function read(text: string): Rule {
  const tokens = tokensOf(text);
  const end: Token = { text: "", column: text.length + 1 };
  const at = (i: number) => tokens[i] ?? end;
  const measure = readMeasure(at(0));
  const operator = readOperator(at(1), measure);
  const limit = readLimit(at(2), measure, operator);
  const clauses = readClauses(tokens.slice(3), end);
  return { text, measure, operator, limit, windowMinutes: DEFAULT_WINDOW_MINUTES, everyMinutes: 1, times: 1, ...clauses };
}

function readMeasure(token: Token): Measure {
  if (token.text === "") throw new Unreadable(token, "a rule begins with a signal, for example latency_p95 > 1.10x for 15m");
  const measure = measureOf(token.text);
  if (measure === null) throw new Unreadable(token, `${token.text} is no signal; signals are ${measureNames.join(", ")}`);
  return measure;
}

function readOperator(token: Token, measure: Measure): Condition["operator"] {
  const { text } = token;
  if (text !== ">" && text !== ">=" && text !== "<" && text !== "<=") {
    throw new Unreadable(token, `${shown(token)} where an operator is expected: >, >=, < or <=`);
  }
  if (measure.kind === "rate" && (text[0] === ">") !== measure.isLoss) {
    throw new Unreadable(
      token,
      `${text} would stop a candidate for being better: ${measure.name} is a rate of ${measure.isLoss ? "bad" : "good"} calls; write ${measure.isLoss ? ">" : "<"}`,
    );
  }
  return text;
}

const valueForm = /^([+-]?)(\$?)(\d+(?:\.\d+)?|\.\d+)(x|pp|%|ms|s|usd|)$/;

function readLimit(token: Token, measure: Measure, operator: Condition["operator"]): Limit {
  const [, sign = "", dollar = "", digits = "", suffix = ""] = valueForm.exec(token.text) ?? [];
  if (digits === "") {
    throw new Unreadable(token, `${shown(token)} where a value is expected: relative to the baseline 1.10x, +10%, +2pp, or fixed 2000ms, 2s, 0.99, 2%, $0.03`);
  }
  const amount = Number(digits) * (sign === "-" ? -1 : 1);
  const unit = dollar === "$" ? "usd" : suffix;
  if (unit === "x" || (unit === "%" && sign !== "")) return ratio(token, amount, unit, sign);
  if (unit === "pp") return points(token, amount, { sign, measure, operator });
  return absolute(token, amount, { unit, sign, measure });
}

function ratio(token: Token, amount: number, unit: string, sign: string): Limit {
  if (unit === "x" && sign !== "") throw new Unreadable(token, `${token.text} has a sign and an x; write 1.10x or +10%`);
  const factor = unit === "x" ? amount : 1 + amount / 100;
  if (!(factor > 0)) throw new Unreadable(token, `${token.text} of the baseline is nothing; write a factor above 0x`);
  return { kind: "ratio", factor };
}

interface About {
  readonly sign: string;
  readonly measure: Measure;
}

function points(token: Token, amount: number, { sign, measure, operator }: About & { readonly operator: Condition["operator"] }): Limit {
  if (measure.kind !== "rate") throw new Unreadable(token, `${measure.name} is no rate and has no points (pp); write +10% or 1.10x`);
  if (sign === "" && operator.startsWith("<")) throw new Unreadable(token, `${token.text} has no sign; write -${token.text} for below the baseline`);
  if (Math.abs(amount) >= 100) throw new Unreadable(token, `${token.text}: a rate cannot differ by 100 points`);
  return { kind: "points", points: amount / 100 };
}

function absolute(token: Token, amount: number, about: About & { readonly unit: string }): Limit {
  return about.measure.kind === "rate" ? fixedRate(token, amount, about) : fixedQuantity(token, amount, { ...about, measure: about.measure });
}

function fixedRate(token: Token, amount: number, { unit, sign, measure }: About & { readonly unit: string }): Limit {
  const { text } = token;
  if (unit !== "" && unit !== "%") throw new Unreadable(token, `${text}: ${measure.name} is a rate; write 0.02 or 2%, or relative +2pp`);
  const value = unit === "%" ? amount / 100 : amount;
  if (sign !== "" || value > 1) throw new Unreadable(token, `${text} is no rate of 0 to 1; write 0.02 or 2%, or relative +2pp`);
  return { kind: "absolute", value };
}

interface AboutQuantity {
  readonly unit: string;
  readonly sign: string;
  readonly measure: Exclude<Measure, { readonly kind: "rate" }>;
}

function fixedQuantity(token: Token, amount: number, { unit, sign, measure }: AboutQuantity): Limit {
  const { text } = token;
  if (unit === "%") throw new Unreadable(token, `${text} without a sign is a rate, and ${measure.name} is none; write +${text} for above the baseline`);
  if (sign !== "") throw new Unreadable(token, `${text}: a fixed value has no sign; relative to the baseline write ${sign}10% or 1.10x`);
  if (measure.unit === "ms") {
    if (unit !== "ms" && unit !== "s") throw new Unreadable(token, `${text} needs a unit: ${amount}ms or ${amount}s; relative to the baseline write 1.10x`);
    return { kind: "absolute", value: unit === "s" ? amount * 1_000 : amount };
  }
  if (unit !== "" && unit !== measure.unit) {
    throw new Unreadable(token, `${text}: ${measure.name} is counted in ${measure.unit === "usd" ? "dollars: $0.03" : "tokens: 250"}`);
  }
  return { kind: "absolute", value: amount };
}

type Clauses = Partial<Pick<Rule, "windowMinutes" | "everyMinutes" | "times">>;

function readClauses(tokens: readonly Token[], end: Token): Clauses {
  let found: Clauses = {};
  for (let i = 0; i < tokens.length; i += 2) {
    const word = tokens[i] ?? end;
    const clause = readClause(word, tokens[i + 1] ?? end);
    const twice = Object.keys(clause).find((key) => Object.hasOwn(found, key));
    if (twice !== undefined) throw new Unreadable(word, `${twice === "times" ? "times" : word.text} is given twice`);
    found = { ...found, ...clause };
  }
  return found;
}

function readClause(word: Token, next: Token): Clauses {
  if (word.text === "for") return { windowMinutes: minutes(next) };
  if (word.text === "every") return { everyMinutes: minutes(next) };
  if (!/^\d+$/.test(word.text)) throw new Unreadable(word, `${word.text} is not understood; after the value may follow for 15m, every 5m, 3 times`);
  if (next.text !== "times") throw new Unreadable(next, `${shown(next)} where "times" is expected: ${word.text} times`);
  const times = Number(word.text);
  if (times < 1 || times > 1_000) throw new Unreadable(word, `${word.text} times: give 1 to 1000`);
  return { times };
}

const shown = ({ text }: Token) => (text === "" ? "the rule ends" : text);

const minutesIn = { s: 1 / 60, m: 1, h: 60, d: 1_440 };

function minutes(token: Token): number {
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)(s|m|h|d)$/.exec(token.text) ?? [];
  const found = Number(amount) * minutesIn[unit as keyof typeof minutesIn];
  if (amount === "" || !Number.isInteger(found) || found < 1 || found > LONGEST_MINUTES) {
    throw new Unreadable(token, `${shown(token)} where a duration of whole minutes up to 24h is expected, for example 15m or 1h`);
  }
  return found;
}

const comparison = { ">": "above", ">=": "at or above", "<": "below", "<=": "at or below" } as const;

/** One line that says how a rule was read. */
export function describeRule(rule: Rule, leastCalls: number): string {
  const { measure, operator, limit, windowMinutes, everyMinutes, times } = rule;
  const looks = `looked at every ${everyMinutes === 1 ? "minute" : `${everyMinutes} min`} from ${leastCalls} candidate calls on`;
  const row = times === 1 ? "" : `, ${times} looks in a row`;
  return `${measure.name} of the candidate's last ${windowMinutes} min ${comparison[operator]} ${describeLimit(limit, measure)}${row}; ${looks}`;
}

function describeLimit(limit: Limit, measure: Measure): string {
  if (limit.kind === "ratio") return `${round(limit.factor)} × the baseline's`;
  if (limit.kind === "points") return `the baseline's ${limit.points < 0 ? "-" : "+"} ${round(Math.abs(limit.points) * 100)} points`;
  if (measure.kind === "rate") return `${round(limit.value * 100)} %`;
  return measure.unit === "usd" ? `$${limit.value}` : `${limit.value} ${measure.unit}`;
}

const round = (value: number) => Number(value.toPrecision(6));

/** Whether a condition holds; null when a value that it needs is not there. */
export function breaches({ operator, limit }: Condition, candidate: number, baseline: number): boolean | null {
  const bound = limit.kind === "absolute" ? limit.value : limit.kind === "ratio" ? limit.factor * baseline : baseline + limit.points;
  if (Number.isNaN(candidate) || Number.isNaN(bound)) return null;
  switch (operator) {
    case ">":
      return candidate > bound;
    case ">=":
      return candidate >= bound;
    case "<":
      return candidate < bound;
    default:
      return candidate <= bound;
  }
}
