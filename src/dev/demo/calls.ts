import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { z } from "zod";
import { KnownError } from "../../errors/known-error.ts";

/**
 * One recorded call, the normalised JSONL form that the demo replays and that users export their own logs to. What a
 * source did not record is absent. `task_pass`, `schema_valid` and `grounded` are the known truth: they reach the judge
 * endpoint and the final check only, never a role of headgate.
 */
export const recordedCall = z.object({
  case: z.string().optional(),
  prompt_id: z.string(),
  model_version: z.string(),
  prompt: z.string().optional(),
  context: z.string().optional(),
  output: z.string().optional(),
  reference: z.string().optional(),
  task_pass: z.boolean().optional(),
  schema_valid: z.boolean().optional(),
  grounded: z.boolean().optional(),
  error: z.boolean().optional(),
  latency_ms: z.number().min(0).optional(),
  ttft_ms: z.number().min(0).optional(),
  input_tokens: z.number().min(0).optional(),
  output_tokens: z.number().min(0).optional(),
  cost_usd: z.number().min(0).optional(),
});
export type RecordedCall = z.output<typeof recordedCall>;

/**
 * Reads a JSONL file of recorded calls.
 *
 * @throws {KnownError} CONFIG_INVALID with file, line and field of the first bad row
 */
export async function readCalls(file: string): Promise<RecordedCall[]> {
  return readRows(file, recordedCall);
}

/** Reads a JSONL file whose rows have the given shape; errors name file, line and field. */
export async function readRows<Shape extends z.ZodType>(file: string, shape: Shape): Promise<z.output<Shape>[]> {
  const rows: z.output<Shape>[] = [];
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    number++;
    if (line.trim() === "") continue;
    rows.push(parseRow(file, number, line, shape));
  }
  return rows;
}

function parseRow<Shape extends z.ZodType>(file: string, number: number, line: string, shape: Shape): z.output<Shape> {
  const fix = "each line must be one JSON object with the fields of docs/demo.md";
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (cause) {
    throw new KnownError("CONFIG_INVALID", `${file}:${number} is not JSON`, { fix, cause });
  }
  const parsed = shape.safeParse(row);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new KnownError("CONFIG_INVALID", `${file}:${number} field ${issue?.path.join(".")}: ${issue?.message}`, { fix });
}
