import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { z } from "zod";
import { parseConfig } from "../../../src/config/parse-config.ts";

const shape = z.object({
  PORT: z.coerce.number().int().default(8080).describe("A port."),
  TOKEN: z.string().min(16).optional().describe("A token."),
});
const read = (env: Record<string, string>) => parseConfig("it", shape, env);

describe("a role's configuration", () => {
  it("takes a blank variable for an absent one, and not for 0", () => {
    for (const blank of ["", " ", "\t", "\n", " \r\n"]) assert.deepEqual(read({ PORT: blank, TOKEN: blank }), { PORT: 8080 });
  });

  it("leaves out the line break that `echo` puts behind a secret, and nothing else", () => {
    const token = " with a blank at both ends ";
    for (const end of ["", "\n", "\r\n", "\n\n"]) assert.deepEqual(read({ TOKEN: token + end, PORT: "1\n" }), { PORT: 1, TOKEN: token });
    assert.throws(() => read({ TOKEN: `${"t".repeat(15)}\n` }), /TOKEN is not valid/);
  });
});
