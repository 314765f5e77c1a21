import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseAllDocuments } from "yaml";
import { KnownError } from "../../src/errors/known-error.ts";
import { formatLayout, parseLayout } from "../../src/runtime/layout.ts";
import { partitionCounts, planTopics, renderTopics } from "../../src/runtime/topic-plan.ts";
import { allTopics, deadLettered } from "../../topics/index.ts";

const isKnown = (code: string, text: RegExp) => (error: unknown) => error instanceof KnownError && error.code === code && text.test(error.message);
const day = 24 * 60 * 60 * 1000;

describe("the plan of a prefix", () => {
  it("gives topics keyed by route one count, and small counts when asked", () => {
    const counts = partitionCounts(undefined);
    assert.deepEqual([counts.requests, counts.samples, counts.partials, counts.routing, counts.brakes], [6, 12, 6, 6, 1]);
    const small = partitionCounts("small");
    assert.deepEqual([small.requests, small.samples, small.partials, small.routing, small.brakes], [2, 4, 2, 2, 1]);
    const asked = partitionCounts({ routes: 12, samples: 24 });
    assert.deepEqual([asked.requests, asked.samples, asked.partials, asked.evidence], [6, 24, 12, 12]);
  });

  it("keeps what a prefix has where nothing else is asked, also for a topic that is new", () => {
    const counts = partitionCounts({ samples: 8 }, { requests: 3, partials: 5, samples: 4 });
    assert.deepEqual([counts.requests, counts.partials, counts.windows, counts.samples, counts.scores], [3, 5, 5, 8, 6]);
  });

  it("refuses counts that cannot work", () => {
    assert.throws(() => partitionCounts({ nonsense: 2 }), isKnown("CONFIG_INVALID", /no topic nonsense/));
    assert.throws(() => partitionCounts({ requests: 0 }), isKnown("CONFIG_INVALID", /1 to 1000/));
    assert.throws(() => partitionCounts({ windows: 3 }), isKnown("CONFIG_INVALID", /`routes`/));
    assert.throws(() => partitionCounts({ brakes: 2 }), isKnown("CONFIG_INVALID", /always has one/));
    assert.throws(() => partitionCounts({ scores: 4 }), isKnown("CONFIG_INVALID", /scores and outcomes are read together/));
    assert.throws(() => partitionCounts(undefined, { partials: 2, windows: 3 }), isKnown("CONFIG_INVALID", /partials and windows/));
  });

  it("deletes in segments short enough to keep the promise of each retention, and asks for two replicas in sync where there are three", () => {
    for (const { name, config } of planTopics("p.", partitionCounts(undefined), 3)) {
      assert.equal(config["min.insync.replicas"], "2");
      const retention = Number(config["retention.ms"]);
      if (config["cleanup.policy"] === "delete") assert.ok(Number(config["segment.ms"]) <= Math.min(retention / 4, 7 * day), name);
      else assert.ok(Number(config["segment.ms"]) <= 60 * 60 * 1000, name);
    }
    for (const { config } of planTopics("p.", partitionCounts(undefined), 2)) assert.equal(config["min.insync.replicas"], undefined);
  });

  it("is printed completely for each tool", () => {
    const planned = planTopics("headgate.", partitionCounts(undefined), 3);
    assert.equal(planned.length, allTopics.length + deadLettered.length);
    const lines = renderTopics("kafka-topics", planned).trim().split("\n");
    assert.equal(lines.length, planned.length);
    assert.match(lines[0] ?? "", /--topic headgate\.requests --partitions 6 --replication-factor 3 .*--config retention\.ms=604800000\b/);
    assert.ok(
      lines.some((line) => line.includes("--config 'cleanup.policy=[compact,delete]'")),
      "kafka-topics.sh splits at commas otherwise",
    );
    const documents = parseAllDocuments(renderTopics("strimzi", planned)).map((document) => document.toJS());
    for (const [i, { name, partitions, replicationFactor, config }] of planned.entries()) {
      assert.deepEqual(documents[i].spec, { topicName: name, partitions, replicas: replicationFactor, config });
    }
    const terraform = renderTopics("terraform", planned);
    for (const { name, config } of planned) {
      const block = terraform.slice(terraform.indexOf(`name               = "${name}"`)).split("\n}\n")[0] ?? "";
      for (const [key, value] of Object.entries(config)) assert.ok(block.includes(`"${key}" = "${value}"`), `${name} ${key}`);
    }
  });

  it("has a layout record that is read back, and refused when it is of another version", () => {
    const counts = partitionCounts("small");
    assert.deepEqual(parseLayout(formatLayout(counts)), { partitions: counts, layout: 1 });
    for (const text of ["", "null", "[]", '{"layout":2,"partitions":{}}', '{"layout":1}', '{"layout":1,"partitions":{"requests":0}}']) {
      assert.throws(() => parseLayout(text), isKnown("LAYOUT_UNKNOWN", /layout/), text);
    }
  });
});
