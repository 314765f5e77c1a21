import type { Command, DeclaredRollout, RoutingTable } from "../../../topics/index.ts";
import { rolloutSpec } from "../../../topics/rollout-spec.ts";
import { GOLDEN_SLICE, PROBER } from "../../domain/drift/golden.ts";
import { durationMs } from "../../domain/rollout/spec/duration.ts";
import { type GoldenPrompt, isRight } from "./expectation.ts";

export interface ProberParts {
  readonly rollouts: () => Iterable<[string, DeclaredRollout]>;
  readonly tableOf: (route: string) => RoutingTable | undefined;
  /** Asks the gateway; null: no answer; undefined: the gateway itself could not be reached, which says nothing about the version. */
  readonly ask: (call: {
    readonly route: string;
    readonly prompt: GoldenPrompt;
    readonly headers: Readonly<Record<string, string>>;
  }) => Promise<string | null | undefined>;
  readonly write: (command: Command) => Promise<void>;
  readonly now: () => number;
  readonly newId: () => string;
  /** Golden calls in an hour at most, over all routes. */
  readonly callsPerHour: number;
  readonly onRun: (run: { readonly route: string; readonly outcome: "passed" | "failed" | "over_budget" | "abandoned" }) => void;
}

/** Every call of a route is of one subject, so that a rollout would serve all of them alike. */
const SUBJECT = "headgate-golden";
const HOUR_MS = 3_600_000;

interface Due {
  readonly route: string;
  readonly prompts: readonly GoldenPrompt[];
}

/**
 * Runs each route's golden prompts when they are due and reports how many were answered right. Only while no rollout runs: then one version serves
 * everybody, and the table says which. A run during which the table changed says nothing.
 */
export class Prober {
  readonly #parts: ProberParts;
  readonly #nextMs = new Map<string, number>();
  /** Ends of the hour of each run's calls. */
  #spent: { readonly untilMs: number; readonly calls: number }[] = [];
  readonly #specs = new Map<
    string,
    { readonly digest: string; readonly golden: { readonly everyMs: number; readonly prompts: readonly GoldenPrompt[] } | null }
  >();

  constructor(parts: ProberParts) {
    this.#parts = parts;
  }

  /** Runs what is due now, one route after the other. */
  async runDue(stopped?: AbortSignal): Promise<void> {
    for (const due of this.#due()) {
      if (stopped?.aborted === true) return;
      await this.#run(due);
    }
  }

  #due(): Due[] {
    const nowMs = this.#parts.now();
    const due: Due[] = [];
    for (const [route, declared] of this.#parts.rollouts()) {
      const golden = this.#goldenOf(route, declared);
      if (golden === null || nowMs < (this.#nextMs.get(route) ?? 0)) continue;
      this.#nextMs.set(route, nowMs + golden.everyMs);
      due.push({ route, prompts: golden.prompts });
    }
    return due;
  }

  #goldenOf(route: string, { digest, spec }: DeclaredRollout) {
    const known = this.#specs.get(route);
    if (known?.digest === digest) return known.golden;
    const parsed = rolloutSpec.safeParse(jsonOf(spec));
    const golden = parsed.success && parsed.data.golden !== undefined ? parsed.data.golden : null;
    const read = golden === null ? null : { everyMs: durationMs(golden.every ?? "1h"), prompts: golden.prompts };
    this.#specs.set(route, { digest, golden: read });
    return read;
  }

  async #run({ route, prompts }: Due): Promise<void> {
    const before = this.#parts.tableOf(route);
    if (before === undefined || before.rollout !== "") return;
    if (!this.#isAfforded(prompts.length)) return this.#parts.onRun({ route, outcome: "over_budget" });
    const headers = { "x-headgate-subject": SUBJECT, "x-headgate-slices": GOLDEN_SLICE };
    const answers = await Promise.all(prompts.map(async (prompt) => ({ prompt, answer: await this.#parts.ask({ route, prompt, headers }) })));
    const after = this.#parts.tableOf(route);
    const isSame = after !== undefined && after.rollout === "" && after.baseline === before.baseline;
    if (!isSame || answers.some(({ answer }) => answer === undefined)) return this.#parts.onRun({ route, outcome: "abandoned" });
    const passed = answers.filter(({ prompt, answer }) => typeof answer === "string" && isRight(answer, prompt.expect)).length;
    const probe = { version: before.baseline, passed, failed: prompts.length - passed };
    const about = { id: this.#parts.newId(), route, verb: "probed", reason: "", expectedAttempt: null, expectedEpoch: null, actor: PROBER } as const;
    await this.#parts.write({ ...about, atMs: this.#parts.now(), probe });
    this.#parts.onRun({ route, outcome: probe.failed === 0 ? "passed" : "failed" });
  }

  #isAfforded(calls: number): boolean {
    const nowMs = this.#parts.now();
    this.#spent = this.#spent.filter(({ untilMs }) => untilMs > nowMs);
    const spent = this.#spent.reduce((sum, one) => sum + one.calls, 0);
    if (spent + calls > this.#parts.callsPerHour) return false;
    this.#spent.push({ untilMs: nowMs + HOUR_MS, calls });
    return true;
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Any system may write `rollouts`: what is not JSON has no golden prompts; the decider tells what is wrong with it.
    return null;
  }
}
