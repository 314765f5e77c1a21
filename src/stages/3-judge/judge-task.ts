import { type Sample, type Score, samples, scores, type Topic } from "../../../topics/index.ts";
import { FinishedWindow } from "../../domain/judging/finished-window.ts";
import { type Batch, type Committed, type Incoming, type Outgoing, ParkError, type Task, type TaskContext, type TaskRole } from "../../runtime/port.ts";

/** What a task may use of a commit's metadata. */
const metadataMaxBytes = 4_000;
/** Most scores that wait for a transaction. */
const flushRecords = 500;
/** Farthest that work may run ahead of the oldest sample under way: what a restart would read again. */
const longestSpan = 20_000;

export interface JudgeRoleParts {
  /** One score per rubric wanted. Rejects only when the signal aborts. */
  readonly evaluate: (sample: Sample, signal: AbortSignal) => Promise<readonly Score[]>;
  readonly partitionFor: (topic: Topic, key: string) => number;
  /** Samples that a task keeps under way at a time. */
  readonly window: number;
}

/**
 * The judge as a role: samples are judged as many at a time as the window holds, in whatever order they finish. Each
 * score is published in the transaction that commits its sample as finished, so exactly once; only calls may repeat.
 */
export function judge(parts: JudgeRoleParts): TaskRole {
  return {
    name: "judge",
    inputs: [samples],
    flushEveryMs: 250,
    flushRecords,
    createTask: (context) => new JudgeTask(context, parts),
  };
}

export class JudgeTask implements Task {
  readonly #context: TaskContext;
  readonly #parts: JudgeRoleParts;
  readonly #stopping = new AbortController();
  readonly #ready = new Map<number, readonly Score[]>();
  #window = new FinishedWindow(0, "");
  #underWay = 0;
  #wasFull = false;
  #failure: unknown = null;

  constructor(context: TaskContext, parts: JudgeRoleParts) {
    this.#context = context;
    this.#parts = parts;
  }

  start(committed: ReadonlyMap<string, Committed>): undefined {
    const last = committed.get(samples.name);
    if (last !== undefined) this.#window = new FinishedWindow(last.offset, last.metadata);
  }

  take(record: Incoming): void {
    if (record.value === null) {
      this.#window.skip(record.offset);
      throw new ParkError("a sample without a value");
    }
    if (!this.#window.take(record.offset)) return;
    this.#underWay++;
    this.#judge(record.offset, record.value as Sample).catch((error: unknown) => {
      if (this.#stopping.signal.aborted) return;
      this.#failure = error;
      this.#context.wake();
    });
  }

  async #judge(offset: number, sample: Sample): Promise<void> {
    const judged = await this.#parts.evaluate(sample, this.#stopping.signal);
    this.#underWay--;
    this.#ready.set(offset, judged);
    // The timer flushes what is finished; waking is only for a task that was full, and not for every single place.
    const hasRoom = this.#underWay <= this.#parts.window / 2 || this.#ready.size >= flushRecords;
    if (!this.#wasFull || !hasRoom) return;
    this.#wasFull = false;
    this.#context.wake();
  }

  flush(): Batch | null {
    if (this.#failure !== null) throw new Error("a sample could not be evaluated: a bug of the judge", { cause: this.#failure });
    const plan = this.#window.plan([...this.#ready.keys()], metadataMaxBytes);
    if (plan === null) return null;
    const outputs = plan.published.flatMap((offset) => this.#ready.get(offset) ?? []).map((score) => this.#outgoing(score));
    this.#window.published(plan.published);
    for (const offset of plan.published) this.#ready.delete(offset);
    return { outputs, offsets: { [samples.name]: { offset: plan.offset, metadata: plan.metadata } } };
  }

  #outgoing(score: Score): Outgoing<typeof scores> {
    return { topic: scores, partition: this.#parts.partitionFor(scores, score.subject), key: score.subject, value: score };
  }

  isFull(): boolean {
    const isFull = this.#underWay >= this.#parts.window || this.#ready.size >= flushRecords || this.#window.span >= longestSpan;
    this.#wasFull ||= isFull;
    return isFull;
  }

  parked(_topic: string, offset: number): void {
    this.#window.skip(offset);
  }

  stop(): void {
    this.#stopping.abort();
  }
}
