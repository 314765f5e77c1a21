import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseConfig } from "../../../../src/config/parse-config.ts";
import { configuration } from "../../../../src/stages/3-judge/config.ts";

const config = (env: Record<string, string>) => parseConfig("judge", configuration, { HEADGATE_JUDGE_MODEL: "m", ...env });

describe("the judge's configuration", () => {
  it("needs a model and nothing else", () => {
    const {
      HEADGATE_JUDGE_BASE_URL: url,
      HEADGATE_JUDGE_CONCURRENCY: concurrency,
      HEADGATE_JUDGE_CACHE: cache,
      HEADGATE_JUDGE_TEMPERATURE: temperature,
    } = config({});
    assert.deepEqual([url, concurrency, cache, temperature], ["https://api.openai.com/v1", 16, "1", undefined]);
    assert.throws(() => parseConfig("judge", configuration, {}), /HEADGATE_JUDGE_MODEL is not set/);
  });

  it("takes a temperature of 0 for one, and an empty variable for none", () => {
    assert.equal(config({ HEADGATE_JUDGE_TEMPERATURE: "0" }).HEADGATE_JUDGE_TEMPERATURE, 0);
    assert.equal(config({ HEADGATE_JUDGE_TEMPERATURE: "" }).HEADGATE_JUDGE_TEMPERATURE, undefined);
  });

  it("refuses what cannot be, by name", () => {
    const wrong = {
      HEADGATE_JUDGE_BASE_URL: "ftp://judge",
      HEADGATE_JUDGE_TEMPERATURE: "warm",
      HEADGATE_JUDGE_SEED: "1.5",
      HEADGATE_JUDGE_CONCURRENCY: "0",
      HEADGATE_JUDGE_CACHE: "yes",
      HEADGATE_JUDGE_PRICE_INPUT_PER_MTOK: "-1",
    };
    for (const [name, value] of Object.entries(wrong)) assert.throws(() => config({ [name]: value }), new RegExp(`${name} is not valid`));
  });
});
