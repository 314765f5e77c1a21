import { repairBootstrap, repairIdleQueues, repairLogins, repairMuteConnections } from "./repairs/connections.ts";
import { repairCoordinators, repairHeartbeats } from "./repairs/groups.ts";
import { repairMetadata } from "./repairs/metadata.ts";
import { repairFetch } from "./repairs/reading.ts";
import { repairProduce, repairTransactions } from "./repairs/sending.ts";

let isRepaired = false;

/** The one place where kafkajs is changed; its version is pinned, and for each change a test fails when it is no longer needed. */
export function repairKafkajs(): void {
  if (isRepaired) return;
  isRepaired = true;
  repairFetch();
  repairProduce();
  repairIdleQueues();
  repairHeartbeats();
  repairMuteConnections();
  repairBootstrap();
  repairLogins();
  repairCoordinators();
  repairMetadata();
  repairTransactions();
}
