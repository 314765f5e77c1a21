import { parseDocument, stringify } from "yaml";
import type { Version } from "../../domain/routing/route-table.ts";

/** What an ejected route needs of an entry of `upstreams` in the gateway's file. */
export interface EjectedUpstream {
  readonly baseUrl: string;
  readonly apiKeyEnv?: string | undefined;
  readonly apiKeyFile?: string | undefined;
  readonly passThroughKeys?: boolean | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly apiKeyHeader?: string | undefined;
  readonly tls?: Readonly<Record<string, string>> | undefined;
}

export interface Ejection {
  readonly route: string;
  /** The version that shall serve from now on. */
  readonly version: Version;
  readonly upstream: EjectedUpstream;
  /** Text of the gateway's file as it is. */
  readonly gatewayFile: string;
}

/** A configuration that serves the route without headgate's routing, and what its callers change, as sentences. */
export interface Ejected {
  readonly text: string;
  readonly client: readonly string[];
}

export const formats = ["gateway", "litellm", "env"] as const;
export type Format = (typeof formats)[number];

export function ejectAs(format: Format, about: Ejection): Ejected {
  return { gateway: asGatewayFile, litellm: asLiteLlm, env: asEnvironment }[format](about);
}

/** The gateway's file, comments and all, with the version as the route's baseline. */
function asGatewayFile({ route, version, gatewayFile }: Ejection): Ejected {
  const document = parseDocument(gatewayFile);
  const { name, upstream, model, parameters, systemTemplate } = version;
  const baseline = {
    version: name,
    upstream,
    model,
    ...(Object.keys(parameters).length === 0 ? {} : { parameters }),
    ...(systemTemplate === null ? {} : { systemTemplate }),
  };
  document.setIn(["routes", route, "baseline"], document.createNode(baseline));
  return {
    text: document.toString({ lineWidth: 0 }),
    client: [
      `nothing changes for callers: base URL and model ${route} stay as they are`,
      "a gateway obeys `routing` and its snapshot before this file: start it with a new HEADGATE_PREFIX or after `headgate uninstall`, and with an empty data directory",
    ],
  };
}

/** A model list for the LiteLLM proxy. The route stays the name that callers ask for. */
function asLiteLlm({ route, version, upstream }: Ejection): Ejected {
  const entries = Object.entries(version.parameters);
  const set = Object.fromEntries(entries.filter(([, value]) => value !== null));
  const dropped = entries.filter(([, value]) => value === null).map(([name]) => name);
  const params = {
    model: `openai/${version.model}`,
    api_base: upstream.baseUrl,
    api_key: keyVariable(version.upstream, upstream) === null ? "none" : `os.environ/${keyVariable(version.upstream, upstream)}`,
    ...(Object.keys(upstream.headers ?? {}).length === 0 ? {} : { extra_headers: shownHeaders(upstream) }),
    ...set,
    ...(dropped.length === 0 ? {} : { additional_drop_params: dropped }),
  };
  const config = { model_list: [{ model_name: route, litellm_params: params, model_info: { id: version.name } }], router_settings: { num_retries: 0 } };
  return {
    text: stringify(config, { lineWidth: 0 }),
    client: [
      `the base URL becomes the proxy's (http://HOST:4000/v1), the key one of the proxy's; model ${route} stays`,
      ...keyHint(version.upstream, upstream),
      ...(Object.keys(set).length === 0
        ? []
        : [`where a caller sends ${Object.keys(set).join(", ")} itself its own value wins in LiteLLM; in headgate the version's did`]),
      ...systemHint(version),
    ],
  };
}

/** For callers that go to the upstream themselves, with the variables that the openai SDKs read. */
function asEnvironment({ route, version, upstream }: Ejection): Ejected {
  const variable = keyVariable(version.upstream, upstream);
  const key = variable === null || variable === "OPENAI_API_KEY" ? [] : [`OPENAI_API_KEY="$${variable}"`];
  const entries = Object.entries(version.parameters);
  return {
    text: `${[`OPENAI_BASE_URL=${quoted(upstream.baseUrl)}`, ...key, `OPENAI_MODEL=${quoted(version.model)}`].join("\n")}\n`,
    client: [
      `model ${route} becomes ${version.model} (the SDKs read no OPENAI_MODEL: your code does); x-headgate-* headers may go`,
      ...keyHint(version.upstream, upstream),
      ...Object.entries(shownHeaders(upstream)).map(([name, value]) => `every call sends the header ${name}: ${value}`),
      ...entries.map(([name, value]) => (value === null ? `no call sends ${name}` : `every call sends ${name}: ${JSON.stringify(value)}`)),
      ...systemHint(version),
    ],
  };
}

/** Single quotes, so that a shell takes it as it is. */
function quoted(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function keyVariable(name: string, upstream: EjectedUpstream): string | null {
  if (upstream.apiKeyEnv !== undefined) return upstream.apiKeyEnv;
  return upstream.apiKeyFile === undefined ? null : `${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}_API_KEY`;
}

/** Headers whose values may be secrets: what is printed goes into terminals and tickets. */
const SECRET_NAME = /auth|key|token|secret|cookie|password|credential|signature/i;

const shownHeaders = ({ headers = {} }: EjectedUpstream): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, SECRET_NAME.test(name) ? `<as in the gateway's file>` : value]));

/** What cannot be said in another's configuration without knowing more of it. */
function connectionHint({ apiKeyHeader = "authorization", tls }: EjectedUpstream): string[] {
  const isUsual = apiKeyHeader.toLowerCase() === "authorization";
  return [
    ...(isUsual ? [] : [`the key goes in the header ${apiKeyHeader}, as it is, and not as a bearer token`]),
    ...(tls === undefined ? [] : [`the connection needs what \`tls\` of the gateway's file says: ${Object.keys(tls).join(", ")}`]),
  ];
}

function keyHint(name: string, upstream: EjectedUpstream): string[] {
  return [...ownKeyHint(name, upstream), ...connectionHint(upstream)];
}

function ownKeyHint(name: string, upstream: EjectedUpstream): string[] {
  if (upstream.apiKeyFile !== undefined) return [`${keyVariable(name, upstream)} holds what is in ${upstream.apiKeyFile}`];
  if (upstream.passThroughKeys === true) return ["callers sent their own keys on to the upstream: they go on to need them"];
  return [];
}

function systemHint({ systemTemplate }: Version): string[] {
  return systemTemplate === null ? [] : [`every call begins its messages with the system message ${JSON.stringify(systemTemplate)}`];
}
