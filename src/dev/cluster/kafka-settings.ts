const MiB = 1024 * 1024;

/** Settings of the test broker that hold wherever it runs; listeners and directories are added by whoever starts it. */
export const kafkaSettings: Readonly<Record<string, string>> = {
  "process.roles": "broker,controller",
  "node.id": "1",
  "controller.listener.names": "CONTROLLER",
  "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
  "offsets.topic.replication.factor": "1",
  "offsets.topic.num.partitions": "8",
  "transaction.state.log.replication.factor": "1",
  "transaction.state.log.min.isr": "1",
  "transaction.state.log.num.partitions": "8",
  "transaction.max.timeout.ms": "900000",
  "share.coordinator.state.topic.replication.factor": "1",
  "share.coordinator.state.topic.min.isr": "1",
  "group.initial.rebalance.delay.ms": "0",
  // Topics are made by `headgate topics apply`; one that appears by itself would hide a missing step.
  "auto.create.topics.enable": "false",
  "message.max.bytes": String(9 * MiB),
  "replica.fetch.max.bytes": String(9 * MiB),
  // The default of 128 MiB is taken from the heap at once.
  "log.cleaner.dedupe.buffer.size": String(16 * MiB),
  // Tests delete their topics: give the disk back at once, not after a minute.
  "log.segment.delete.delay.ms": "1000",
  "num.io.threads": "4",
  "num.network.threads": "2",
};

/** A Java properties file. */
export function properties(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value.replaceAll("\\", "\\\\")}\n`)
    .join("");
}

/** The same as the environment of the `apache/kafka` image: `KAFKA_` and dots as underscores. */
export function kafkaEnvironment(settings: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [`KAFKA_${name.toUpperCase().replaceAll(".", "_")}`, value]));
}
