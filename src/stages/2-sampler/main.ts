import { z } from "zod";
import { routing } from "../../../topics/index.ts";
import { checkCompilers } from "../../checks/check-compilers.ts";
import { schemaForms } from "../../domain/checks/schema-check.ts";
import type { Program } from "../../runtime/program.ts";
import { SamplerMetrics } from "./metrics.ts";
import { sampler } from "./sampler.ts";
import { samplerTableFields } from "./table-gate.ts";

/** The sampler: reads whole requests, checks and folds each into partials, and draws samples for the judges. */
export const program: Program = {
  name: "sampler",
  configuration: z.object({}),
  async start({ connect, log: logger, metrics, readiness }) {
    const log = await connect();
    const waiting = new Set<() => void>();
    const tables = log.openTable(routing, { fields: samplerTableFields });
    tables.onChange(() => {
      for (const wake of waiting) wake();
    });
    await tables.ready;
    const running = await log.runRole(
      sampler({
        partitionFor: (topic, key) => log.partitionFor(topic, key),
        tableOf: (route) => tables.get(route),
        forms: schemaForms(checkCompilers((about) => logger.warn(about, "a schema or pattern takes too long: answers of it are not checked"))),
        metrics: new SamplerMetrics(metrics),
        waiting,
      }),
    );
    readiness("sampler", () => tables.freshAtMs() > 0);
    return {
      tables: { [routing.name]: tables },
      finished: running.finished,
      async stop() {
        await running.stop();
        await tables.close();
      },
    };
  },
};
