import { type SimulatedPlan, Simulator } from "../../../src/domain/simulation/simulator.ts";
import { ArmCounts } from "../../../src/domain/simulation/subject-counts.ts";
import { gatesPlan } from "./plans.ts";
import { Alias, Dice, poissonOf } from "./random.ts";
import { baseLevels } from "./traffic.ts";

/** Single rules (statistics.md section 3.6): what they are for is shown by leaving them out. One guardrail, task completion. */
const JUDGED = 12;
const JUDGED_OF_BASELINE = 24;

function taskPlan(over: Partial<SimulatedPlan["signals"][number]> = {}): SimulatedPlan {
  const plan = gatesPlan(baseLevels);
  const signals = plan.signals.filter(({ name }) => name === "task_completion").map((signal) => ({ ...signal, weight: 1, ...over }));
  return { ...plan, signals };
}

/**
 * A judge that abstains on a fifth of the candidate's failures, which are 5 points more: how often the candidate is safe.
 *
 * @param isCounted false: what was not scored is left out, as if it had not been drawn
 */
export function unscoredRuns(runs: number, seed: number, isCounted: boolean): number {
  const dice = new Dice(seed, 0x756e7363);
  // A signal of the calls has no composite of failed and unscored.
  const simulator = new Simulator(taskPlan(isCounted ? {} : { group: "calls" }), { restarts: 1 });
  const [bad, abstained] = [poissonOf(JUDGED * 0.2 * 0.8), poissonOf(JUDGED * 0.2 * 0.2)];
  const good = poissonOf(JUDGED * 0.8);
  const [badOfBaseline, goodOfBaseline] = [poissonOf(JUDGED_OF_BASELINE * 0.15), poissonOf(JUDGED_OF_BASELINE * 0.85)];
  let passed = 0;
  for (let run = 0; run < runs; run++) {
    simulator.reset();
    let isSafe = false;
    for (let minute = 0; minute < 480 && !isSafe; minute++) {
      const [ya, yb, unscored] = [bad.draw(dice), badOfBaseline.draw(dice), abstained.draw(dice)];
      simulator.binary(0, ya + good.draw(dice), ya, yb + goodOfBaseline.draw(dice), yb, ya, isCounted ? unscored : 0, 0);
      isSafe = simulator.signals[0]?.isSafe === true;
    }
    if (isSafe) passed++;
  }
  return passed / runs;
}

/**
 * An equally good candidate whose judge is out for an hour, for it alone: how often it is frozen.
 */
export function judgeOutageRuns(runs: number, seed: number): number {
  const dice = new Dice(seed, 0x6f757467);
  const simulator = new Simulator(taskPlan(), { restarts: 1 });
  let frozen = 0;
  for (let run = 0; run < runs; run++) {
    simulator.reset();
    let isFrozen = false;
    for (let minute = 0; minute < 300 && !isFrozen; minute++) {
      const isOut = minute >= 60 && minute < 120;
      const [ya, na] = [poissonOf(JUDGED * 0.15).draw(dice), poissonOf(JUDGED * 0.85).draw(dice)];
      const [yb, nb] = [poissonOf(JUDGED_OF_BASELINE * 0.15).draw(dice), poissonOf(JUDGED_OF_BASELINE * 0.85).draw(dice)];
      simulator.binary(0, isOut ? 0 : ya + na, isOut ? 0 : ya, yb + nb, yb, isOut ? 0 : ya, isOut ? ya + na : 0, 0);
      const action = simulator.look();
      isFrozen = action === "freeze" || action === "rollback";
    }
    if (isFrozen) frozen++;
  }
  return frozen / runs;
}

const SUBJECTS = 200;
const PANES = 864;
/** Correlation of two records of one subject. */
const ICC = 0.3;

/** Chances of a subject to fail, at the quantiles of a Beta distribution with the mean given and correlation ICC. */
function failureChances(mean: number): { readonly chances: readonly number[]; readonly draw: Alias } {
  const size = 1 / ICC - 1;
  const chances = Array.from({ length: 1000 }, (_, i) => (i + 0.5) / 1000);
  return { chances, draw: new Alias(chances.map((p) => p ** (mean * size - 1) * (1 - p) ** ((1 - mean) * size - 1))) };
}

/**
 * 72 hours of 200 subjects per arm whose records are alike, harm at the edge of what is tolerated: how often it is frozen.
 *
 * @param hasDeff false: as if every record were a subject of its own
 */
export function clusteredRuns(runs: number, seed: number, hasDeff: boolean): number {
  const dice = new Dice(seed, 0x636c7573);
  const simulator = new Simulator({ ...taskPlan(), paneMs: 5 * 60_000 }, { restarts: 1, hasSubjects: hasDeff, advances: false });
  const [ofCandidate, ofBaseline] = [failureChances(0.16), failureChances(0.15)];
  const [mine, others] = [new ArmCounts(), new ArmCounts()];
  let frozen = 0;
  for (let run = 0; run < runs; run++) {
    simulator.reset();
    const subjects = (of: typeof ofCandidate) => Float64Array.from({ length: SUBJECTS }, () => of.chances[of.draw.draw(dice)] ?? 0);
    const [mySubjects, otherSubjects] = [subjects(ofCandidate), subjects(ofBaseline)];
    let isFrozen = false;
    for (let pane = 0; pane < PANES && !isFrozen; pane++) {
      drawSubjects(mine, mySubjects, dice, 5 * JUDGED);
      drawSubjects(others, otherSubjects, dice, 5 * JUDGED_OF_BASELINE);
      if (hasDeff) simulator.subjects(0, mine, others);
      simulator.binary(0, mine.n, mine.sum, others.n, others.sum);
      const action = simulator.look();
      isFrozen = action === "freeze" || action === "rollback";
    }
    if (isFrozen) frozen++;
  }
  return frozen / runs;
}

function drawSubjects(arm: ArmCounts, chances: Float64Array, dice: Dice, rate: number): void {
  arm.reset();
  const n = poissonOf(rate).draw(dice);
  for (let i = 0; i < n; i++) {
    const subject = dice.below(SUBJECTS);
    arm.count(subject % 32, dice.next() < (chances[subject] ?? 0) ? 1 : 0);
  }
}
