import { createHash } from "node:crypto";
import { PROMPT_LAYOUT } from "../../domain/judging/prompt.ts";
import type { JudgeConfig } from "./config.ts";

/** SHA-256 of a text's UTF-8 bytes, in hex. */
export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Name of a rubric in `catalog`: the SHA-256 of its text. */
export function rubricDigest(text: string): string {
  return sha256(text);
}

/**
 * Version of an evaluator: rubric, judge model, parameters and the wording of our prompt. Scores of different versions are
 * never compared with each other.
 */
export function evaluatorVersion(rubricText: string, config: JudgeConfig): string {
  const parameters = {
    layout: PROMPT_LAYOUT,
    temperature: config.HEADGATE_JUDGE_TEMPERATURE ?? null,
    seed: config.HEADGATE_JUDGE_SEED ?? null,
    maxTokens: config.HEADGATE_JUDGE_MAX_TOKENS ?? null,
  };
  return sha256(JSON.stringify([rubricText, config.HEADGATE_JUDGE_MODEL, parameters])).slice(0, 16);
}

/** Identity of a score: one per call and evaluator version, whoever writes it. */
export function scoreId(requestId: string, version: string): string {
  return sha256(JSON.stringify([requestId, version])).slice(0, 32);
}
