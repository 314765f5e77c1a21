import type { SASLOptions } from "kafkajs";
import type { ConnectionConfig } from "../../config/connection.ts";
import type { Security } from "./client.ts";
import { reasonOf, TokenError } from "./errors.ts";

/** TLS and SASL as the environment says; certificates are always verified. */
export function securityOf(config: ConnectionConfig): Security | undefined {
  const { KAFKA_SSL: ssl, KAFKA_SSL_CA: ca, KAFKA_SSL_CERT: cert, KAFKA_SSL_KEY: key } = config;
  const sasl = saslOf(config);
  if (ssl === "false" && sasl === undefined) return undefined;
  return {
    ...(ssl === "true" ? { ssl: { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) } } : {}),
    ...(sasl === undefined ? {} : { sasl }),
  };
}

function saslOf(config: ConnectionConfig): SASLOptions | undefined {
  const { KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_USERNAME: username = "", KAFKA_SASL_PASSWORD: password = "" } = config;
  if (mechanism === undefined) return undefined;
  if (mechanism !== "oauthbearer") return { mechanism, username, password } as SASLOptions;
  const { KAFKA_SASL_TOKEN_URL: url = "", KAFKA_SASL_SCOPE: scope } = config;
  return { mechanism, oauthBearerProvider: () => clientCredentials(url, username, password, scope) };
}

const tokenTimeoutMs = 10_000;

/** What an endpoint refuses that knows the client and does not want it, or does not know it; anything else passes. */
const refusals: ReadonlySet<number> = new Set([400, 401, 403]);

/** OAuth 2.0 client credentials grant (RFC 6749 section 4.4), asked for anew whenever kafkajs logs in. @throws {TokenError} */
async function clientCredentials(url: string, id: string, secret: string, scope: string | undefined): Promise<{ value: string }> {
  const ask = async () => {
    const answer = await fetch(url, {
      method: "POST",
      headers: { authorization: `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString("base64")}` },
      body: new URLSearchParams({ grant_type: "client_credentials", ...(scope === undefined ? {} : { scope }) }),
      signal: AbortSignal.timeout(tokenTimeoutMs),
    });
    return { status: answer.status, text: await answer.text() };
  };
  const { status, text } = await ask().catch((cause: Error) => {
    throw new TokenError(`the token endpoint ${url} did not answer: ${reasonOf(cause)}`, { cause });
  });
  if (status < 200 || status > 299) throw new TokenError(`the token endpoint ${url} answered ${status}`, { isRefused: refusals.has(status) });
  return { value: tokenIn(text, url) };
}

function tokenIn(text: string, url: string): string {
  try {
    const { access_token: token } = JSON.parse(text) as { access_token?: unknown };
    if (typeof token === "string") return token;
  } catch {
    // Not JSON: the page of a proxy, for instance.
  }
  throw new TokenError(`the answer of the token endpoint ${url} holds no access_token`);
}
