import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { GatewayFile } from "./gateway-file.ts";

export interface Timeouts {
  readonly connectMs: number;
  readonly headersMs: number;
  readonly idleMs: number;
  readonly totalMs: number;
}
export interface RetryPolicy {
  readonly max: number;
  readonly on: readonly ("connect" | "reset" | "429" | "5xx")[];
  readonly budgetPercent: number;
  readonly floorPerSecond: number;
  readonly maxWaitMs: number;
}
export interface Price {
  readonly inputPerMillion: number;
  readonly outputPerMillion: number;
}
/** Files and names with which an upstream proves who it is, and we prove who we are. */
export interface TlsConfig {
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
  readonly serverName: string | null;
  /** Accept whoever answers: named in the file in full, never a default. */
  readonly acceptsAnyCertificate: boolean;
}
export interface UpstreamConfig {
  readonly name: string;
  readonly baseUrl: URL;
  /** As it was when the file was read; a key file is read again while the gateway runs. */
  readonly apiKey: string | null;
  readonly apiKeyFile: string | null;
  /** `authorization` takes the key as a bearer token, any other header as it is. */
  readonly apiKeyHeader: string;
  readonly passThroughKeys: boolean;
  /** Callers' headers, in lower case, that go upstream although they are named like secrets; and that do not although they are not. */
  readonly forwardHeaders: readonly string[];
  readonly dropHeaders: readonly string[];
  /** Whether callers may name its models themselves. */
  readonly direct: boolean;
  /** Whether it knows `stream_options.include_usage`. */
  readonly usageInStreams: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsConfig | null;
  readonly timeouts: Timeouts;
  readonly retries: RetryPolicy;
  readonly connections: number;
  /** Calls of all routes at the same time. */
  readonly maxInFlight: number;
  readonly prices: ReadonlyMap<string, Price>;
}

type Env = Readonly<Record<string, string | undefined>>;
type Given = GatewayFile["upstreams"][string];

/** @returns what a secret's file holds, without white space around it; a problem when it cannot be read or is empty */
export function readSecret(path: string): { readonly text: string } | { readonly problem: string } {
  try {
    const text = readFileSync(path, "utf8").trim();
    return text === "" ? { problem: `${path} is empty` } : { text };
  } catch (error) {
    return { problem: `${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"})` };
  }
}

/** What a header can carry, and no more of it than keys are made of: a line break, or a dash that was pasted from a text, would fail each call. */
const KEY = /^[\x20-\x7e]+$/;
const NO_KEY = "holds what no key can (a line break, or a letter beyond ASCII)";

/** The same of a file that holds a key or token, which goes into a header. */
export function readKey(path: string): ReturnType<typeof readSecret> {
  const read = readSecret(path);
  return "text" in read && !KEY.test(read.text) ? { problem: `${path} ${NO_KEY}` } : read;
}

/** A key or token that a variable or a file holds, at most one of which is given; null: neither is. */
export function secretOf(
  where: string,
  from: { readonly env?: string | undefined; readonly file?: string | undefined },
  env: Env,
): { readonly secret: string | null; readonly problem?: string } {
  if (from.env !== undefined) {
    const secret = env[from.env]?.trim();
    if (secret === undefined || secret === "") return { secret: null, problem: `${where}Env: the environment variable ${from.env} is not set` };
    return KEY.test(secret) ? { secret } : { secret: null, problem: `${where}Env: the environment variable ${from.env} ${NO_KEY}` };
  }
  if (from.file === undefined) return { secret: null };
  const read = readKey(from.file);
  return "text" in read ? { secret: read.text } : { secret: null, problem: `${where}File: ${read.problem}` };
}

/** What the files of TLS hold; null: there is no such file. */
export interface TlsTexts {
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

/** Why no connection can be made with this; null: one can. Node takes a text without a certificate for no authority at all. */
export function unusableTls({ ca, cert, key }: TlsTexts): string | null {
  try {
    if (ca !== null) new X509Certificate(ca);
  } catch {
    return "caFile holds no certificate (PEM)";
  }
  if (cert === null || key === null) return null;
  try {
    createSecureContext({ cert, key });
    return null;
  } catch (error) {
    const { code = "unknown" } = error as NodeJS.ErrnoException;
    return code === "ERR_OSSL_X509_KEY_VALUES_MISMATCH" ? "keyFile is not the key of certFile" : `certFile and keyFile cannot be used (${code})`;
  }
}

function tlsProblems(where: string, given: Given): string[] {
  const { tls, baseUrl } = given;
  if (tls === undefined) return [];
  const problems = [];
  if (!baseUrl.startsWith("https:")) problems.push(`${where}.tls: is only for an https address`);
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) problems.push(`${where}.tls: certFile and keyFile belong together`);
  const texts: (string | null)[] = [];
  for (const field of ["caFile", "certFile", "keyFile"] as const) {
    const path = tls[field];
    const read = path === undefined ? null : readSecret(path);
    if (read !== null && "problem" in read) problems.push(`${where}.tls.${field}: ${read.problem}`);
    texts.push(read !== null && "text" in read ? read.text : null);
  }
  const [ca = null, cert = null, key = null] = texts;
  const unusable = unusableTls({ ca, cert, key });
  if (unusable !== null) problems.push(`${where}.tls: ${unusable}`);
  return problems;
}

function tlsOf({ tls }: Given): TlsConfig | null {
  if (tls === undefined) return null;
  const { caFile, certFile, keyFile, serverName, insecure } = tls;
  return {
    caFile: caFile ?? null,
    certFile: certFile ?? null,
    keyFile: keyFile ?? null,
    serverName: serverName ?? null,
    acceptsAnyCertificate: insecure !== undefined,
  };
}

/**
 * An upstream as the gateway uses it.
 *
 * @param about `maxInFlight`: of an upstream that does not say; `problems` takes what is wrong, one sentence each that begins with the field
 */
export function upstreamConfig(
  name: string,
  given: Given,
  about: { readonly env: Env; readonly problems: string[]; readonly maxInFlight: number },
): UpstreamConfig {
  const where = `upstreams.${name}`;
  const { secret: key, problem } = secretOf(`${where}.apiKey`, { env: given.apiKeyEnv, file: given.apiKeyFile }, about.env);
  if (problem !== undefined) about.problems.push(problem);
  about.problems.push(...tlsProblems(where, given));
  if (given.passThroughKeys && (given.apiKeyEnv ?? given.apiKeyFile) !== undefined) {
    about.problems.push(`${where}.passThroughKeys: is only for an upstream without apiKeyEnv and apiKeyFile`);
  }
  const { headers, timeouts, retries, connections, passThroughKeys, usageInStreams, direct } = given;
  return {
    name,
    baseUrl: new URL(given.baseUrl),
    apiKey: key,
    apiKeyFile: given.apiKeyFile ?? null,
    apiKeyHeader: given.apiKeyHeader.toLowerCase(),
    passThroughKeys,
    forwardHeaders: given.forwardHeaders.map((header) => header.toLowerCase()),
    dropHeaders: given.dropHeaders.map((header) => header.toLowerCase()),
    usageInStreams,
    direct,
    headers,
    tls: tlsOf(given),
    timeouts,
    retries,
    connections,
    maxInFlight: given.maxInFlight ?? about.maxInFlight,
    prices: new Map(Object.entries(given.prices)),
  };
}
