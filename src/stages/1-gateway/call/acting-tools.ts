import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";

/**
 * Whether a request lets its provider act elsewhere while it answers: call tools of remote MCP servers that it does not have approved first. All other tools
 * are the caller's to run, or only read and compute at the provider.
 */
export function actsElsewhere({ tools, mcp_servers: servers }: JsonObject): boolean {
  if (Array.isArray(servers) && servers.length > 0) return true;
  return Array.isArray(tools) && tools.some((tool) => isJsonObject(tool) && tool.type === "mcp" && tool.require_approval !== "always");
}
