import { createHash, timingSafeEqual } from "node:crypto";
import { isLoopback } from "./config.ts";

/** The headers that decide whether a request may come in. */
export interface Credentials {
  readonly authorization: string | undefined;
  readonly host: string | undefined;
  readonly origin: string | undefined;
}

export type Admission =
  | { readonly kind: "admitted" }
  | { readonly kind: "unauthenticated" }
  | { readonly kind: "forbidden"; readonly problem: string; readonly fix: string };

const digestOf = (text: string) => createHash("sha256").update(text).digest();

/**
 * Who may use the API. With tokens: whoever brings one (all are compared, by digest and in constant time, so that timing
 * tells neither the token nor which one). Without: only this machine, and no web page that its browser has open, neither
 * from another origin nor by a rebound name.
 */
export function admission(tokens: readonly string[]): (credentials: Credentials) => Admission {
  const digests = tokens.map(digestOf);
  return ({ authorization, host, origin }) => {
    if (origin !== undefined && !isSameOrigin(origin, host)) {
      return { kind: "forbidden", problem: `a page of ${origin} may not use this API`, fix: "call it from the command line or through your own server" };
    }
    if (digests.length === 0) {
      if (host !== undefined && isLoopback(hostName(host))) return { kind: "admitted" };
      return {
        kind: "forbidden",
        problem: "without a token the API answers only to loopback names",
        fix: "use http://127.0.0.1 or set HEADGATE_CONTROL_TOKEN_FILE",
      };
    }
    const given = digestOf(/^Bearer (.+)$/i.exec(authorization ?? "")?.[1] ?? "");
    const matches = digests.map((digest) => timingSafeEqual(digest, given));
    return matches.includes(true) ? { kind: "admitted" } : { kind: "unauthenticated" };
  };
}

function isSameOrigin(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}

function hostName(host: string): string {
  return host.replace(/:\d+$/, "");
}
