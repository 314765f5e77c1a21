import type { Logger } from "pino";
import type { Registry } from "prom-client";
import type { z } from "zod";
import type { LogClient, Table } from "./port.ts";
import type { Crew, FirstProcess } from "./process/crew.ts";

/** What a role's program gets from whoever runs it (`headgate <role>` or `headgate up`). */
export interface ProgramContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  readonly metrics: Registry;
  /** Unique per process start; goes into logs, `fleet` and requests. */
  readonly instance: string;
  /**
   * Connects to Kafka and the registry as the environment says, once per program; waits for them as long as they do not answer, unless it
   * is told not to be patient: then it rejects with KAFKA_UNREACHABLE or REGISTRY_UNREACHABLE. Rejects with TOPIC_MISSING or
   * LAYOUT_MISMATCH, and with KAFKA_UNREACHABLE when the credentials are refused. May be called again after a rejection.
   */
  connect(options?: { readonly isPatient: boolean }): Promise<LogClient>;
  /** Adds a condition to `/readyz` of the process. */
  readiness(name: string, isReady: () => boolean): void;
  /** The first process when this is one of its workers; absent: it works alone. */
  readonly first?: FirstProcess | null;
}

/** What the first process of several is given to do for all. */
export interface LeadContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  readonly crew: Crew;
}

/** Tables of a role by their topics, as far as their age is concerned. */
export type FollowedTables = Readonly<Record<string, Pick<Table<unknown>, "freshAtMs">>>;

export interface RunningProgram {
  /** What the role decides by: `/readyz` tells of those that are not fresh, and is 503 unless the process `servesWithoutKafka`. */
  readonly tables?: FollowedTables;
  /** Rejects when the program cannot go on; the process then exits with 3, or starts it again when it runs others too. */
  readonly finished: Promise<void>;
  /** Graceful: within 10 s, or what the program's `stopMs` says. */
  stop(): Promise<void>;
}

/** A role as the command line runs it. Each `src/stages/N-x/main.ts` exports one as `program`. */
export interface Program {
  readonly name: string;
  /** Environment variables of the role, each with a description; the README's table is tested against it. */
  readonly configuration: z.ZodObject;
  /** What it knows is of use to its callers also while Kafka is away: old tables must not turn them away. */
  readonly servesWithoutKafka?: true;
  /** Longest time that a graceful stop may take under this environment, ms; absent: 10 s. */
  stopMs?(env: ProgramContext["env"]): number;
  start(context: ProgramContext): Promise<RunningProgram>;
  /**
   * What cannot be shared by several processes of the role (`--workers`) and is done by the first, before it starts the others.
   *
   * @returns what ends it
   * @throws {KnownError} CONFIG_INVALID
   */
  lead?(context: LeadContext): Promise<() => void>;
}
