/** A Kafka cluster with a schema registry, for tests and for the demo. */
export interface Cluster {
  /** Each as host:port. */
  readonly brokers: readonly string[];
  /** Base of the Confluent-compatible API. */
  readonly registryUrl: string;
  readonly kind: "external" | "docker" | "jvm";
  /** Where the logs of both programs are; only when this process's keeper runs them. */
  readonly logDir?: string;
  /** Resolves when what was started is gone; does nothing to an external cluster. May be called again. */
  stop(): Promise<void>;
}

export interface ClusterOptions {
  /** Where HEADGATE_TEST_* and DOCKER_HOST are read from; default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Gets progress, in whole lines; default: standard error. */
  readonly say?: (line: string) => void;
}
