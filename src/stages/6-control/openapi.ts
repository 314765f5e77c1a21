import { z } from "zod";
import { rolloutSpec } from "../../../topics/rollout-spec.ts";
import { type Operation, operations } from "./operations.ts";

/** The API as an OpenAPI 3.1 document, derived from the same list that is registered. */
export function openapi(version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const operation of operations) {
    const path = openapiPath(operation.path);
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: describe(operation) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "headgate control API",
      version,
      description: "Declares rollouts, sends commands and brakes, and shows what the topics say. Errors are RFC 9457 problem documents with a code and a fix.",
    },
    paths,
    components: {
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
      schemas: { RolloutSpec: schemaOf(rolloutSpec), Problem: problemSchema },
    },
    security: [{ bearer: [] }, {}],
  };
}

/** `/v1/routes/:route` as OpenAPI writes it. */
export function openapiPath(path: string): string {
  return path.replace(/:(\w+)/g, "{$1}");
}

const problemSchema = {
  type: "object",
  required: ["type", "title", "status", "detail", "code", "fix"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    code: { type: "string", description: "docs/errors.md lists them" },
    fix: { type: "string" },
    errors: { type: "array", items: { type: "object", properties: { path: { type: "string" }, message: { type: "string" } } } },
  },
};

function describe(operation: Operation): Record<string, unknown> {
  const inPath = [...operation.path.matchAll(/:(\w+)/g)].map(([, name]) => ({ name, in: "path", required: true, schema: { type: "string" } }));
  const inQuery = operation.query === undefined ? [] : queryParameters(operation.query);
  const inHeader = operation.id === "followEvents" ? [{ name: "last-event-id", in: "header", required: false, schema: { type: "string" } }] : [];
  return {
    operationId: operation.id,
    summary: operation.summary,
    parameters: [...inPath, ...inQuery, ...inHeader],
    ...(operation.body === undefined ? {} : { requestBody: requestBody(operation, operation.body) }),
    responses: Object.fromEntries(Object.entries(operation.answers).map(([status, description]) => [status, answer(Number(status), description, operation)])),
    ...(operation.isOpen === true ? { security: [] } : {}),
  };
}

function requestBody(operation: Operation, body: z.ZodObject): Record<string, unknown> {
  const yaml = operation.yamlBody === true ? { "application/yaml": { schema: { $ref: "#/components/schemas/RolloutSpec" } } } : {};
  return { required: operation.yamlBody === true, content: { "application/json": { schema: schemaOf(body) }, ...yaml } };
}

function answer(status: number, description: string, operation: Operation): Record<string, unknown> {
  const isProblem = status >= 400 && operation.id !== "readyz";
  if (isProblem) return { description, content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } } };
  return { description, content: { [operation.produces ?? "application/json"]: {} } };
}

function queryParameters(query: z.ZodObject): Record<string, unknown>[] {
  const schema = schemaOf(query) as { properties?: Record<string, { description?: string }> };
  return Object.entries(schema.properties ?? {}).map(([name, { description, ...rest }]) => ({ name, in: "query", required: false, description, schema: rest }));
}

function schemaOf(shape: z.ZodType): Record<string, unknown> {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(shape, { io: "input", unrepresentable: "any" }) as Record<string, unknown>;
  return schema;
}
