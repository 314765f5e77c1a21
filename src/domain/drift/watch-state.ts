import { detectionBound } from "../stats/drift.ts";
import { ln } from "../stats/ln.ts";
import { nano } from "../stats/nano-nats.ts";
import type { Run } from "./detector.ts";
import type { Golden } from "./golden.ts";
import { type Profile, REFERENCE_ALPHA } from "./profile.ts";

/** A drift that was detected: new rollouts are refused until an operator captures a new baseline or clears it. */
export interface Alarm {
  /** Version that drifted, and when it was decided. */
  readonly version: string;
  readonly atMs: number;
  /** Attempt that was observed; 0 when no rollout ran. */
  readonly attempt: number;
  readonly message: string;
  /** Version that serves instead; null: none. It is never left by itself again. */
  readonly reroutedTo: string | null;
  /** That there is no version to go to was told. */
  readonly isStranded: boolean;
}

/** All that a route's watch knows. JSON-serialisable; a few kB: sums and bounds per signal, never records. */
export interface WatchState {
  /** Profiles of the versions that serve or may serve again, newest last. */
  readonly profiles: readonly Profile[];
  readonly run: Run | null;
  readonly alarm: Alarm | null;
  readonly golden: Golden | null;
  /** What was wrong with evidence that could not be evaluated; null: nothing. */
  readonly error: string | null;
}

export const noWatch: WatchState = { profiles: [], run: null, alarm: null, golden: null, error: null };

/** How a route is watched, of its newest spec. */
export interface DriftPlan {
  readonly isOn: boolean;
  /** Length of a drift block. */
  readonly blockMs: number;
  /** How long a reference is taken. */
  readonly referenceMs: number;
  /** Fewest records of a reference per signal. */
  readonly minRecords: number;
  /** Judgements per minute while no rollout runs. */
  readonly judgePerMinute: number;
  /** How often golden prompts are run; null: there are none. */
  readonly goldenEveryMs: number | null;
}

/** Serving, fallback and candidate. */
const MOST_PROFILES = 3;

export function profileOf({ profiles }: WatchState, version: string): Profile | null {
  return profiles.find((profile) => profile.version === version) ?? null;
}

export function withProfile(watch: WatchState, profile: Profile, wanted: readonly string[]): WatchState {
  const others = watch.profiles.filter(({ version }) => version !== profile.version && wanted.includes(version));
  return { ...watch, profiles: [...others, profile].slice(-MOST_PROFILES) };
}

/**
 * The watch when an attempt begins: nothing of an earlier attempt carries over (law 3), neither what its observation raised nor what was learnt of its
 * candidate while it was under test.
 *
 * @param kept versions that serve or may serve again, whose own past stays theirs
 */
export function forNewAttempt(watch: WatchState, kept: readonly (string | undefined)[]): WatchState {
  return {
    ...watch,
    profiles: watch.profiles.filter(({ version }) => kept.includes(version)),
    run: watch.run !== null && watch.run.attempt > 0 ? null : watch.run,
    alarm: watch.alarm !== null && watch.alarm.attempt > 0 ? null : watch.alarm,
  };
}

/** Blocks of 10 minutes in 90 days: with the always-on watch one false alarm in so long, at most. */
export const ALWAYS_BLOCKS = 12_960;
/** Share of alpha that the detector runs with; the rest pays for the reference. */
const DETECTOR_SHARE = 0.8;

/** ln c in nano-nats: while no rollout runs one false alarm in 12,960 blocks; while observing a chance of 0.008 over the whole time. */
export function alarmBound(plan: Pick<DriftPlan, "blockMs">, observationMs: number | null): number {
  if (observationMs === null) return nano(ln(ALWAYS_BLOCKS));
  return nano(ln(detectionBound(Math.max(1, observationMs / plan.blockMs), DETECTOR_SHARE * REFERENCE_ALPHA)));
}
