const fenced = /^```[^\n`]*\n([\s\S]*?)\n?```$/;

/**
 * The part of an answer that has to have the requested form: the whole answer (white space around it aside), or what stands inside
 * a markdown code fence that encloses all of it.
 *
 * @param policy `forbidden`: a fence makes the answer invalid; `required`: its absence does; anything else: both are accepted
 * @returns null when the answer breaks the policy
 */
export function payloadOf(text: string, policy: string): string | null {
  const whole = text.trim();
  const inside = fenced.exec(whole)?.[1];
  if (inside === undefined) return policy === "required" ? null : whole;
  return policy === "forbidden" ? null : inside;
}
