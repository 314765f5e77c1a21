import { changesOnlyModel, isJsonObject, type JsonObject, mergeParameters, withoutReplaced } from "../../../domain/routing/merge-parameters.ts";
import type { Version } from "../../../domain/routing/route-table.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { asWritten } from "./as-written.ts";
import { spliceFirst, spliceModel } from "./splice-model.ts";

const isUnset = (value: unknown): boolean => value === undefined || value === null;

/**
 * Whether the usage of a stream has to be asked for, because the caller did not: then it is hidden from the caller again. Stream options that are not what
 * they have to be stay as they are: the upstream is to refuse them as it would without a gateway.
 */
export function asksForUsage(endpoint: Endpoint, request: JsonObject, upstream: { readonly usageInStreams: boolean }): boolean {
  if (!endpoint.usageOnDemand || !upstream.usageInStreams || request.stream !== true) return false;
  const options = request.stream_options;
  if (isUnset(options)) return true;
  return isJsonObject(options) && (isUnset(options.include_usage) || options.include_usage === false);
}

/**
 * The body that goes upstream. When only the model changes, the caller's text is kept but for that name; a question for the usage of a
 * stream is put in front of it. Otherwise each field that nothing changes stays as the caller wrote it.
 */
export function upstreamBody(
  call: { readonly text: string; readonly request: JsonObject; readonly endpoint: Endpoint },
  version: Version,
  withUsage: boolean,
): string {
  const { text, request, endpoint } = call;
  const options = request.stream_options;
  const hasOptions = options !== undefined;
  const spliced = changesOnlyModel(version, endpoint) && !(withUsage && hasOptions) ? spliceModel(text, version.model) : null;
  if (spliced !== null) return withUsage ? spliceFirst(spliced, '"stream_options":{"include_usage":true}') : spliced;
  const merged = mergeParameters(request, version, endpoint);
  const asked = withUsage ? { ...merged, stream_options: { ...(isJsonObject(options) ? options : {}), include_usage: true } } : merged;
  return asWritten(asked, { text, fields: withoutReplaced(request, version, endpoint) });
}
