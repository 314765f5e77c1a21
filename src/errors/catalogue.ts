/** Every code of a `KnownError`, with what it means. `docs/errors.md` lists the same codes; a test compares both ways. */
export const errorCodes = {
  CONFIG_INVALID: "an environment variable or a configuration file is missing or wrong",
  SPEC_INVALID: "a rollout spec does not fit its schema or cannot be run",
  RUBRIC_INVALID: "a rubric file does not fit its schema",
  KAFKA_UNREACHABLE: "no broker answered",
  REGISTRY_UNREACHABLE: "the schema registry did not answer",
  SCHEMA_REFUSED: "the registry refused a schema as incompatible",
  TOPIC_MISSING: "a topic that a role needs does not exist",
  LAYOUT_MISMATCH: "partition counts differ from those that this prefix was created with",
  LAYOUT_UNKNOWN: "a record carries a layout number that this version does not know",
  RECORD_INVALID: "a value does not fit its topic's schema and was not sent",
  RECORD_TOO_LARGE: "a record is larger than its topic accepts",
  GAP: "the committed offset is no longer in the log: records were deleted before they were read",
  FENCED: "another process took over this task",
  CLUSTER_UNAVAILABLE: "no embedded Kafka can be started on this machine",
  EVALUATION_ERROR: "evidence is not a finite number: a bug; the rollout is held",
  NOT_FOUND: "there is no such route or rollout",
  CONFLICT: "the request does not fit the current state",
  REQUEST_INVALID: "a request to the control API, or an option of the command line, is malformed",
  FORBIDDEN: "the control API refused the caller: no token, a wrong one, or a web page of another origin",
  CONTROL_UNREACHABLE: "the control API did not answer",
} as const;
export type ErrorCode = keyof typeof errorCodes;
