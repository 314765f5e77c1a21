import type { Remark } from "./remarks.ts";

const SAFE_KEY_LENGTH = 16;
const FIX = "set HEADGATE_SUBJECT_KEY (or _FILE), the same on all gateways, to 32 random characters or more, for example of openssl rand -hex 32";

/** What is to be said of the key that subjects are hashed with. @param subjectKey as it was configured; undefined: it was not, and a random one is used */
export function keyRemarks(subjectKey: string | undefined): Remark[] {
  if (subjectKey === undefined) {
    const message =
      "HEADGATE_SUBJECT_KEY is not set: subjects are hashed with a random key, and change arm at a restart and from one gateway to another, so that evidence is mixed";
    return [{ level: "warning", code: "random_subject_key", message, fix: FIX }];
  }
  if (subjectKey.length >= SAFE_KEY_LENGTH) return [];
  const message = `HEADGATE_SUBJECT_KEY has fewer than ${SAFE_KEY_LENGTH} characters: whoever reads the log could guess it, and with it the subjects`;
  return [{ level: "warning", code: "short_subject_key", message, fix: FIX }];
}
