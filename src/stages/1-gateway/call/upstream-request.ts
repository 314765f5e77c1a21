import { changesOnlyModel, type JsonObject, mergeParameters } from "../../../domain/routing/merge-parameters.ts";
import type { Version } from "../../../domain/routing/route-table.ts";
import { spliceModel } from "./splice-model.ts";

/** The body that goes upstream. When only the model changes, the caller's text is kept but for that name. */
export function upstreamBody(text: string, request: JsonObject, version: Version): string {
  const spliced = changesOnlyModel(version) ? spliceModel(text, version.model) : null;
  return spliced ?? JSON.stringify(mergeParameters(request, version));
}
