import { partials, type Request, requests, type Sample, samples } from "../../../topics/index.ts";
import { type CheckedAnswer, checkAnswer, checkedWhole, type Side } from "../../domain/checks/check-answer.ts";
import { defaultSchemaCheck, type schemaForms } from "../../domain/checks/schema-check.ts";
import { GOLDEN_SLICE } from "../../domain/drift/golden.ts";
import { decodeFirstSights, FirstSights, fromTheBeginning } from "../../domain/sampling/first-sights.ts";
import { clampToAppend, InstanceBook } from "../../domain/sampling/instance-book.ts";
import { declaredSlices, termsOf } from "../../domain/signals/attempt-terms.ts";
import { type CallAbout, callContributions } from "../../domain/signals/call-contributions.ts";
import { Fold } from "../../domain/signals/fold.ts";
import { expectedOutcomes } from "../../domain/signals/outcome-contributions.ts";
import { SeriesLimit } from "../../domain/signals/series-limit.ts";
import type { Batch, Committed, Incoming, LogClient, Outgoing, Task, TaskContext, TaskRole } from "../../runtime/port.ts";
import { FrameWriter } from "./frame-writer.ts";
import type { SamplerMetrics } from "./metrics.ts";
import { sampleOf } from "./sample-of.ts";
import { type SamplerTable, TableGate } from "./table-gate.ts";

export interface SamplerDeps {
  readonly partitionFor: LogClient["partitionFor"];
  readonly tableOf: (route: string) => SamplerTable | undefined;
  readonly forms: ReturnType<typeof schemaForms>;
  readonly metrics: SamplerMetrics;
  /** Each running task's `wake`: a new table may be what it waits for. */
  readonly waiting: Set<() => void>;
}

/** Records that a task holds while it waits for a table. */
const HELD_RECORDS = 2_000;
/** Bodies in samples that are worth a transaction of their own, characters, and how many stop the task until it is committed. */
const DRAWN_CHARS = 4_000_000;
const MOST_DRAWN_CHARS = 4 * DRAWN_CHARS;

const charsIn = ({ requestBody, responseBody, twin }: Sample): number =>
  (requestBody?.length ?? 0) + (responseBody?.length ?? 0) + (twin?.responseBody?.length ?? 0);

/** requests -> partials, samples: checks and folds every call, draws what the judges see. */
export function sampler(deps: SamplerDeps): TaskRole {
  return { name: "sampler", inputs: [requests], flushEveryMs: 250, flushRecords: 500, createTask: (context) => new SamplerTask(deps, context) };
}

/** Commit metadata: what the successor must know of subjects and of instances, in this order. Neither holds the separator. */
const SEPARATOR = ";";

/** Golden prompts are nobody's question, and a pin is nobody's assignment: such calls are in no signal of users. */
const isEvidence = ({ kind, slices, pinned }: Request): boolean => kind === "call" && !pinned && !slices.includes(GOLDEN_SLICE);

interface Held {
  readonly record: Incoming;
  readonly request: Request;
}

class SamplerTask implements Task {
  readonly #deps: SamplerDeps;
  readonly #context: TaskContext;
  readonly #fold = new Fold(new SeriesLimit());
  readonly #gate: TableGate;
  #frames: FrameWriter | null = null;
  #book = new InstanceBook();
  /** Records behind the first one that waits for its table, in order. */
  readonly #held: Held[] = [];
  #drawn: Outgoing[] = [];
  #drawnChars = 0;
  /** First offset that is not counted yet. */
  #position = 0;
  #sights = new FirstSights();
  /** Records before this offset were counted by a predecessor; they are read again only for the subjects in them. */
  #countedTo = 0;
  #isReadingBack = false;
  /** Nobody has committed anything: what is read first should be the first record there ever was. */
  #isFresh = false;

  constructor(deps: SamplerDeps, context: TaskContext) {
    this.#deps = deps;
    this.#context = context;
    this.#gate = new TableGate(deps.tableOf, (route) => deps.metrics.tableTimeouts.inc({ route }));
  }

  start(committed: ReadonlyMap<string, Committed>): undefined | Readonly<Record<string, number>> {
    const last = committed.get(requests.name);
    const [sights = "", book] = (last?.metadata ?? "").split(SEPARATOR);
    const resumed = last === undefined ? fromTheBeginning : decodeFirstSights(sights);
    this.#book = InstanceBook.decode(book ?? sights);
    this.#sights = new FirstSights(resumed ?? fromTheBeginning);
    if (resumed === null) this.#sights.forgetHistory(this.#context.now());
    this.#isFresh = last === undefined;
    this.#position = last?.offset ?? 0;
    this.#countedTo = this.#position;
    this.#frames = new FrameWriter(this.#context.partition, {
      partitions: this.#context.partitionsOf(partials),
      fromOffset: this.#position,
      partitionOf: (route) => this.#deps.partitionFor(partials, route),
    });
    this.#deps.waiting.add(this.#context.wake);
    const { readFrom } = this.#sights;
    if (readFrom === null || readFrom >= this.#countedTo) return undefined;
    this.#isReadingBack = true;
    return { [requests.name]: readFrom };
  }

  take(record: Incoming): void {
    // Retention has removed what was first: whoever called before is not known.
    if (this.#isFresh && record.offset > 0) this.#sights.forgetHistory(this.#context.now());
    this.#isFresh = false;
    if (record.value === null) return;
    if (record.offset < this.#countedTo) {
      const call = record.value as Request;
      if (isEvidence(call)) this.#sights.see(call, this.#deps.tableOf(call.route), record.offset);
      return;
    }
    this.#isReadingBack = false;
    this.#held.push({ record, request: record.value as Request });
    if (this.#held.length === 1) this.#drain(this.#context.now());
  }

  isFull(): boolean {
    return this.#held.length >= HELD_RECORDS || this.#drawnChars >= MOST_DRAWN_CHARS;
  }

  stop(): void {
    this.#deps.waiting.delete(this.#context.wake);
  }

  flush(nowMs: number): Batch | null {
    // What is read again is committed already: a batch now would take the offset back.
    if (this.#isReadingBack) return null;
    this.#drain(nowMs);
    const entries = this.#fold.drain();
    const frames = this.#frames?.write(entries, { toOffset: this.#position, watermarkMs: this.#book.watermarkMs, nowMs }) ?? [];
    const outputs = [...this.#drawn, ...frames];
    if (outputs.length === 0) return null;
    this.#drawn = [];
    this.#drawnChars = 0;
    const { text, forgotten } = this.#book.encode();
    if (forgotten > 0) this.#deps.metrics.forgottenInstances.inc(forgotten);
    const first = this.#held[0];
    const metadata = [this.#sights.encode(this.#position), text].join(SEPARATOR);
    // What waits for its table is read again by a successor.
    return { outputs, offsets: { [requests.name]: first === undefined ? { metadata } : { metadata, offset: first.record.offset } } };
  }

  #drain(nowMs: number): void {
    let done = 0;
    for (const { record, request } of this.#held) {
      const table = this.#gate.tableFor(request, nowMs);
      if (table === "wait") break;
      this.#count(record, request, table);
      done++;
    }
    this.#held.splice(0, done);
  }

  #count(record: Incoming, request: Request, table: SamplerTable | undefined): void {
    const { metrics } = this.#deps;
    const { appendedAtMs } = record;
    this.#position = record.offset + 1;
    const arrival = this.#book.take({ instance: request.instance, seq: request.seq, markMs: request.markMs, appendedAtMs });
    if (arrival.kind === "repeat") {
      metrics.repeats.inc();
      return;
    }
    if (arrival.kind === "unnumbered") metrics.unnumbered.inc();
    else if (arrival.lost > 0) metrics.lost.inc(arrival.lost);
    const ended = clampToAppend(request.endedAtMs, appendedAtMs);
    if (ended.clamped || clampToAppend(request.markMs, appendedAtMs).clamped) metrics.skewed.inc();
    if (!isEvidence(request)) return;
    const terms = termsOf(request, table);
    const isNewSubject = this.#sights.see(request, table, record.offset);
    if (request.rollout !== "" && request.exposure === "served")
      metrics.subjects.inc({ known: isNewSubject === null ? "unknown" : isNewSubject ? "new" : "seen" });
    const call = { ...request, endedAtMs: ended.atMs, slices: declaredSlices(request.slices, terms) };
    this.#countCall(call, table, { valueCaps: terms.valueCaps, isNewSubject });
  }

  /** What the checks say of both sides. Of a call that was cut the gateway has run them, on the whole answers. */
  #checked(call: Request, table: SamplerTable | undefined): { readonly call: CheckedAnswer | null; readonly twin: CheckedAnswer | null } {
    // Embeddings are no text: no check applies.
    if (call.operation === "embeddings") return { call: null, twin: null };
    const { forms } = this.#deps;
    const { wholeChecks: whole, responseFormat, twin, cut } = call;
    const about = { check: table?.schemaCheck ?? defaultSchemaCheck, responseFormat, bodyCut: cut };
    const of = (side: Side, which: "answer" | "twin") =>
      cut && whole !== null ? checkedWhole(side, whole[which], about, forms) : checkAnswer(side, about, forms);
    return { call: of(call, "answer"), twin: twin === null ? null : of(twin, "twin") };
  }

  #countCall(call: Request, table: SamplerTable | undefined, about: CallAbout): void {
    const { metrics } = this.#deps;
    const checked = this.#checked(call, table);
    if (call.cut) metrics.cutCalls.inc({ route: call.route });
    if (checked.call?.formBroken === true) metrics.brokenForms.inc({ route: call.route });
    for (const side of [checked.call, checked.twin]) if (side?.timedOut === true) metrics.timedOutChecks.inc({ route: call.route });
    const rubrics = table?.rubrics ?? [];
    const expected = expectedOutcomes(call, table?.outcomes ?? []);
    // Outcomes are dated by the start of their call, which is all that its token can know.
    const begun = { ...call, endedAtMs: Math.min(call.startedAtMs, call.endedAtMs) };
    const refused = this.#fold.add(call, callContributions(call, checked, rubrics, about)) + this.#fold.add(begun, expected);
    if (refused > 0) metrics.refusedSeries.inc({ route: call.route }, refused);
    metrics.calls.inc({ status: call.status });
    const sample = sampleOf(call, rubrics);
    if (sample === null) return;
    metrics.samples.inc({ arm: call.arm });
    this.#drawn.push({ topic: samples, partition: this.#deps.partitionFor(samples, call.subject), key: call.subject, value: sample });
    this.#drawnChars += charsIn(sample);
    if (this.#drawnChars >= DRAWN_CHARS) this.#context.wake();
  }
}
