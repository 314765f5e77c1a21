import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { it } from "node:test";
import { prepareKafkajs } from "../../../src/runtime/codec.ts";
import { unrepaired } from "../../fixtures/unrepaired-kafkajs.ts";

interface Clusters {
  readonly prototype: { findGroupCoordinatorMetadata(this: object, about: object): Promise<unknown> };
}

/** What a cluster fails with of whose brokers none knows the coordinator. */
const failure = (Cluster: Clusters): Promise<unknown> =>
  Cluster.prototype.findGroupCoordinatorMetadata.call({ brokerPool: { withBroker: async () => null } }, { groupId: "g" }).catch((error: unknown) => error);

const told = (error: unknown) => {
  const { name, retriable } = error as Error & { readonly retriable: boolean };
  return [name, retriable];
};

it("a group whose coordinator is not known at the moment is looked for again, for which kafkajs alone ends its consumer", async () => {
  const alone = await failure(unrepaired<Clusters>("kafkajs/src/cluster"));
  assert.deepEqual(told(alone), ["KafkaJSGroupCoordinatorNotFound", false], "kafkajs itself has been mended: our repair can go");
  prepareKafkajs();
  assert.deepEqual(told(await failure(createRequire(import.meta.url)("kafkajs/src/cluster") as Clusters)), ["KafkaJSGroupCoordinatorNotFound", true]);
});
