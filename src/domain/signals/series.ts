import type { Entry } from "../../../topics/index.ts";

/** Identity of a time series: everything that keeps two statistics from being added. */
export type Series = Pick<
  Entry,
  "route" | "rollout" | "attempt" | "step" | "epoch" | "version" | "arm" | "exposure" | "slice" | "signal" | "evaluatorVersion" | "samplePpm" | "kind"
>;
export type Kind = Entry["kind"];

/** The fields of a series alone, in the order of the contract. */
export function seriesOf(from: Series): Series {
  const { route, rollout, attempt, step, epoch, version, arm, exposure, slice, signal, evaluatorVersion, samplePpm, kind } = from;
  return { route, rollout, attempt, step, epoch, version, arm, exposure, slice, signal, evaluatorVersion, samplePpm, kind };
}

/** Joins key parts by a character that no name holds. */
export const keyOfParts = (...parts: readonly (string | number)[]): string => parts.join("\u0000");

/** Key of a series without its evaluator version: what is drawn for judging is counted before anybody judges it. */
export function judgedKey(s: Series): string {
  return keyOfParts(s.route, s.rollout, s.attempt, s.step, s.epoch, s.version, s.arm, s.exposure, s.slice, s.signal, s.samplePpm, s.kind);
}

export function seriesKey(s: Series): string {
  return keyOfParts(judgedKey(s), s.evaluatorVersion);
}
