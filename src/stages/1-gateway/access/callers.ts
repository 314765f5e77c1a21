import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { type Rate, sharedRate } from "../../../runtime/process/shared-rate.ts";
import { headerOf } from "../http/headers.ts";

/** A caller as the gateway's file lists it. */
export interface CallerConfig {
  readonly name: string;
  /** SHA-256 of the key, 64 hex digits. */
  readonly keyHash: string;
  /** Routes that it may call; null: all. */
  readonly routes: readonly string[] | null;
  readonly ratePerMinute: number | null;
  readonly mayPin: boolean;
}

/** Who calls, and what they may do. */
export interface Caller {
  /** Empty where no callers are listed. */
  readonly name: string;
  readonly mayPin: boolean;
  mayCall(route: string): boolean;
  /** @returns 0 when the call is within the caller's rate, and is then counted; else seconds until one is; a promise where several processes share the rate */
  take(): number | Promise<number>;
}

interface Listed {
  readonly config: CallerConfig;
  readonly hash: Buffer;
  /** null: unlimited. */
  readonly rate: Rate | null;
  readonly caller: Caller;
}

/** Where no callers are listed, everybody may call everything, and the credentials are not read. */
const anybody: Caller = { name: "", mayPin: false, mayCall: () => true, take: () => 0 };

export const sha256 = (text: string): Buffer => createHash("sha256").update(text, "utf8").digest();

/** The key that a request brings, as OpenAI's, Azure's and Anthropic's clients send it. */
function keyOf(headers: IncomingHttpHeaders): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headerOf(headers, "authorization") ?? "")?.[1];
  return bearer ?? headerOf(headers, "api-key") ?? headerOf(headers, "x-api-key");
}

/** @param before the callers until now: a key that has the same rate as before goes on with what is left of it */
function listed(config: CallerConfig, before: readonly Listed[]): Listed {
  const { name, keyHash, routes, ratePerMinute, mayPin } = config;
  const allowed = routes === null ? null : new Set(routes);
  const known = before.find((each) => each.config.keyHash === keyHash && each.config.ratePerMinute === ratePerMinute);
  const rate = ratePerMinute === null ? null : (known?.rate ?? sharedRate(keyHash, ratePerMinute));
  const caller = { name, mayPin, mayCall: (route: string) => allowed === null || allowed.has(route), take: () => rate?.take() ?? 0 };
  return { config, hash: Buffer.from(keyHash, "hex"), rate, caller };
}

/** The callers that the gateway's file lists. Keys are known only by their hashes, and never logged. */
export class Callers {
  #listed: readonly Listed[] | null = null;

  /** @param callers null: anybody may call */
  constructor(callers: readonly CallerConfig[] | null) {
    this.replace(callers);
  }

  /** Whether only callers that are listed may call. */
  get areListed(): boolean {
    return this.#listed !== null;
  }

  /** From the next request on these may call; requests that run go on. */
  replace(callers: readonly CallerConfig[] | null): void {
    const before = this.#listed ?? [];
    this.#listed = callers === null ? null : callers.map((each) => listed(each, before));
  }

  /**
   * Who sends a request; null: nobody that is listed. Every hash is compared to its end, so that the time tells nothing of how close a key was.
   */
  identify(headers: IncomingHttpHeaders): Caller | null {
    if (this.#listed === null) return anybody;
    const key = keyOf(headers);
    if (key === undefined) return null;
    const hash = sha256(key);
    let found: Caller | null = null;
    for (const each of this.#listed) if (timingSafeEqual(each.hash, hash)) found = each.caller;
    return found;
  }
}
