import { createHash } from "node:crypto";
import type { RecordedCall } from "./calls.ts";
import { isPrime } from "./published.ts";

/** What is true of an answer: per judged signal, right or wrong. */
export type Truth = Readonly<Record<string, boolean>>;

/** Finds what is true of an answer; undefined when it cannot be known. */
export type FindTruth = (prompt: string, answer: string) => Truth | undefined;

const digest = (...parts: string[]) => createHash("sha256").update(JSON.stringify(parts)).digest("base64");

function labels(call: RecordedCall): Truth {
  return {
    ...(call.task_pass === undefined ? {} : { task_completion: call.task_pass }),
    ...(call.grounded === undefined ? {} : { groundedness: call.grounded }),
  };
}

/**
 * Truth of recorded outputs, by hash of (prompt, output). An output that the replay drew for another prompt is found by its
 * own hash: its label is that of the row it came from.
 */
export function recordedTruth(calls: readonly RecordedCall[]): FindTruth {
  const known = new Map<string, Truth>();
  for (const call of calls) {
    const truth = labels(call);
    if (Object.keys(truth).length === 0 || call.output === undefined) continue;
    known.set(digest(call.prompt ?? "", call.output), truth);
    known.set(digest(call.output), truth);
  }
  return (prompt, answer) => known.get(digest(prompt, answer)) ?? known.get(digest(answer));
}

function answerGiven(answer: string): string {
  try {
    const parsed: unknown = JSON.parse(answer);
    if (typeof parsed === "object" && parsed !== null && "answer" in parsed) return String(parsed.answer);
  } catch {
    // Not the requested form: read the sentence instead, as a person would.
  }
  return /answer is (\S+?)\.(\s|$)/i.exec(answer)?.[1] ?? answer;
}

function rightAnswer(prompt: string): string | undefined {
  const primality = /^Is (\d+) a prime number\?/.exec(prompt);
  if (primality) return isPrime(Number(primality[1])) ? "yes" : "no";
  const sum = /^What is (\d+) \* (\d+) \+ (\d+)\?/.exec(prompt);
  if (sum) return String(Number(sum[1]) * Number(sum[2]) + Number(sum[3]));
  return /about order (\d+)\./.exec(prompt)?.[1];
}

/** Truth of the built-in tasks, computed from the prompt and compared with what the answer says. */
export const computedTruth: FindTruth = (prompt, answer) => {
  const right = rightAnswer(prompt);
  return right === undefined ? undefined : { task_completion: answerGiven(answer) === right };
};
