import type { RolloutSpec, RoutingTable } from "../../../topics/index.ts";
import { canonicalJson } from "../rollout/canonical-json.ts";
import type { ReducerDeps } from "../rollout/gate-event.ts";
import type { Block, ReducerInput, SpecInput } from "../rollout/input.ts";
import { reduce } from "../rollout/reduce.ts";
import { rolloutIdOf } from "../rollout/spec/normalise.ts";
import { type Attempt, isRunning, type RouteState } from "../rollout/state.ts";
import type { Replayed } from "./replay.ts";
import { type TimelineRow, timelineRow } from "./timeline.ts";

export interface WhatIfOptions {
  readonly deps: ReducerDeps;
  /** Number of the attempt to change; absent: the newest. */
  readonly attempt?: number | undefined;
  /** The spec to run instead of the one that was declared. @throws {KnownError} when there can be none */
  readonly change: (declared: RolloutSpec, rubrics: RoutingTable["rubrics"]) => RolloutSpec;
}

export interface WhatIfResult {
  readonly rollout: string;
  readonly attempt: number;
  readonly startedAtMs: number;
  readonly actual: readonly TimelineRow[];
  readonly other: readonly TimelineRow[];
  /** Decision time at which the two first differ in phase or step, epoch ms: up to then the traffic of both was the same. Null: never. */
  readonly divergedAtMs: number | null;
  /** Where each is at the end. */
  readonly actualEnd: Standing;
  readonly otherEnd: Standing;
  readonly notes: readonly string[];
}

interface Standing {
  readonly phase: string;
  readonly step: number;
  readonly reasons: readonly string[];
  readonly message: string;
}

interface Fork {
  readonly rollout: string;
  readonly attempt: number;
  readonly startedAtMs: number;
  readonly actual: TimelineRow[];
  readonly other: TimelineRow[];
  state: RouteState;
  actualEnd: Attempt | null;
  divergedAtMs: number | null;
  skipped: number;
  /** The real attempt is over: there is no evidence any more. */
  isOver: boolean;
  /** Another attempt was started. */
  isClosed: boolean;
}

/**
 * Runs an attempt a second time beside the replay, with another spec on the same evidence. Forks at the start of each
 * attempt and keeps the newest fork, so that nothing needs to be read twice.
 *
 * Exact until the two part in phase or step. From then on the traffic would have been another one: what was recorded
 * stands for it, as if each arm had gone on to behave so, in the volume that it really had.
 */
export class WhatIf {
  readonly #options: WhatIfOptions;
  #declared: SpecInput | null = null;
  #fork: Fork | null = null;

  constructor(options: WhatIfOptions) {
    this.#options = options;
  }

  /** Takes what the replay made of a record. */
  take({ input, before, step }: Replayed): void {
    if (input.kind === "spec" && input.spec !== null) this.#declared = input;
    const events = step.decisions.flatMap((decision) => (decision.kind === "gate-event" ? [decision.event] : []));
    const started = events.find(({ action }) => action === "started");
    if (started !== undefined && this.#fork !== null) this.#fork.isClosed = true;
    if (started !== undefined && (this.#options.attempt ?? started.attempt) === started.attempt) {
      this.#fork = this.#begin(before, step.state, input);
    } else if (this.#fork?.isClosed === false) this.#follow(this.#fork, input, step.state);
    if (this.#fork?.isClosed === false) this.#fork.actual.push(...events.map(timelineRow));
  }

  /** @returns null when no attempt (of that number) was started in the history */
  result(): WhatIfResult | null {
    const fork = this.#fork;
    if (fork === null) return null;
    const { rollout, attempt, startedAtMs, actual, other, divergedAtMs, skipped } = fork;
    const notes = ["panes, sampling and the judge's scores are as they were recorded; times are exact to one recorded input"];
    if (skipped > 0) notes.push(`${skipped} later declarations of a spec were left out of the other run`);
    if (fork.isOver && isRunning(fork.state.current)) notes.push("the real attempt is over: there is no evidence of how the other one would have gone on");
    return { rollout, attempt, startedAtMs, actual, other, divergedAtMs, actualEnd: standing(fork.actualEnd), otherEnd: standing(fork.state.current), notes };
  }

  #begin(before: RouteState, after: RouteState, input: ReducerInput): Fork | null {
    const declared = this.#declared;
    const attempt = after.current;
    if (declared?.spec == null || attempt === null) return null;
    const spec = { ...this.#options.change(declared.spec, declared.rubrics), id: rolloutIdOf(declared.spec) };
    const { deps } = this.#options;
    const digest = deps.sha256(`what-if\u0000${canonicalJson(spec)}`);
    const asked: SpecInput = { ...declared, atMs: input.atMs, digest, actor: "what-if", spec, problems: [], gateways: [] };
    const free = { ...before, current: isRunning(before.current) ? null : before.current, seq: before.seq };
    const fork: Fork = {
      rollout: attempt.plan.rollout,
      attempt: attempt.attempt,
      startedAtMs: attempt.startedAtMs,
      actual: [],
      other: [],
      state: free,
      actualEnd: attempt,
      divergedAtMs: null,
      skipped: 0,
      isOver: false,
      isClosed: false,
    };
    this.#give(fork, asked);
    note(fork, attempt, input.atMs);
    return fork;
  }

  #follow(fork: Fork, input: ReducerInput, after: RouteState): void {
    const actual = after.current;
    if (fork.isOver) return;
    if (input.kind === "spec") fork.skipped += 1;
    else this.#give(fork, adapted(input, fork, fork.actualEnd));
    // Ticks were recorded only where they changed something for the other spec: the clock is looked at with each input.
    if (input.kind !== "tick") this.#give(fork, { kind: "tick", atMs: input.atMs });
    fork.actualEnd = actual;
    if (actual !== null) note(fork, actual, input.atMs);
    // Without a candidate there is no evidence: silence is not what the other run would have seen.
    if (!isRunning(actual)) fork.isOver = true;
  }

  #give(fork: Fork, input: ReducerInput): void {
    const { state, decisions } = reduce(fork.state, input, this.#options.deps);
    fork.state = state;
    for (const decision of decisions) if (decision.kind === "gate-event") fork.other.push(timelineRow(decision.event));
  }
}

function note(fork: Fork, actual: Attempt, atMs: number): void {
  const other = fork.state.current;
  if (fork.divergedAtMs === null && (other?.phase !== actual.phase || other.step !== actual.step)) fork.divergedAtMs = atMs;
}

/** What the other run sees of an input: its blocks count in its own step, its commands bind to no epoch of the real one. */
function adapted(input: ReducerInput, { state, rollout, attempt }: Fork, actual: Attempt | null): ReducerInput {
  const other = state.current;
  if (input.kind === "command") return { ...input, command: { ...input.command, expectedEpoch: null, expectedAttempt: null } };
  if (input.kind === "brake" && input.brake.route !== "*" && other !== null) {
    return { ...input, brake: { ...input.brake, rollout: other.plan.rollout, attempt: other.attempt } };
  }
  if (input.kind !== "pane" || other === null || actual === null) return input;
  const owned = (block: Block) => block.rollout === rollout && block.attempt === attempt;
  // Blocks of the step that the real run is in stand for the step of the other one.
  // Who arrived at which arm follows from the real split: it says nothing of another one.
  const isMoved = other.step !== actual.step;
  const moved = (block: Block): Block => {
    const step = block.step === actual.step ? other.step : block.step;
    return { ...block, attempt: other.attempt, step, newSubjects: isMoved ? null : block.newSubjects };
  };
  return { ...input, blocks: input.blocks.map((block) => (owned(block) ? moved(block) : block)) };
}

function standing(attempt: Attempt | null): Standing {
  if (attempt === null) return { phase: "pending", step: -1, reasons: [], message: "the spec was not started" };
  return { phase: attempt.phase, step: attempt.step, reasons: attempt.reasons, message: attempt.message };
}
