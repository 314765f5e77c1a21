import type { Settings } from "./gate-sections.ts";
import { ramps } from "./published.ts";
import { harmFrom, productRamps, type RampModel, type RampRun, type RampScenario, rampModels, rampScenarios, runRamps } from "./ramp.ts";
import { everyRow, isWithin, median, percent, quantile, type Section, share, type Target, table } from "./report.ts";
import { clusteredRuns, judgeOutageRuns, unscoredRuns } from "./single-rules.ts";

const runsOf = (runs: number, { scale }: Settings) => Math.max(20, Math.round(runs * scale));
const hours = (minutes: number) => (Number.isFinite(minutes) ? (minutes / 60).toFixed(1) : "–");
const spread = (minutes: readonly number[]) => (minutes.length === 0 ? "" : `${hours(median(minutes))} (${hours(quantile(minutes, 0.9))})`);
const RAMP_RUNS = 600;
const STEP_RUNS = 1500;
/** A pane of the ramp, hours. */
const RESOLUTION = 5 / 60;

interface Ramped {
  readonly name: string;
  readonly scenario: RampScenario;
  readonly runs: readonly RampRun[];
}

/** Whole rollouts with load and failures that swing over the day. */
export function rampSection(settings: Settings): Section {
  const all: Ramped[] = [];
  for (const model of rampModels) {
    for (const scenario of [...rampScenarios, ...productRamps]) {
      const isOwn = rampScenarios.includes(scenario);
      const n = runsOf(isOwn ? RAMP_RUNS : RAMP_RUNS / 5, settings);
      settings.progress(`ramp: ${model.rps}/s ${scenario.name}, ${n} runs`);
      all.push({ name: `${model.rps} ${scenario.name}`, scenario, runs: runRamps(model, scenario, n, settings.seed + 300) });
    }
  }
  const head = [
    "requests/s, candidate",
    "frozen once",
    "rolled back",
    "reached 100 %",
    "h to first freeze",
    "h to roll back",
    "h to 100 %",
    "bad requests served",
    "prototype: h to freeze / roll back / 100 %",
  ];
  return { markdown: table(head, all.map(rampRow)), targets: rampTargets(all) };
}

function rampRow({ name, runs }: Ramped): string[] {
  const n = runs.length;
  const stopped = runs.filter(({ isRolledBack }) => isRolledBack);
  const published = ramps[name];
  const of = (is: (run: RampRun) => boolean) => percent(share(runs, is), n);
  return [
    name,
    of(({ isFrozen }) => isFrozen),
    of(({ isRolledBack }) => isRolledBack),
    of(({ isDone }) => isDone),
    spread(runs.filter(({ isFrozen }) => isFrozen).map(({ firstFreeze }) => firstFreeze)),
    spread(stopped.map(({ minutes }) => minutes)),
    spread(runs.filter(({ isDone }) => isDone).map(({ minutes }) => minutes)),
    stopped.length === 0 ? "" : String(Math.round(median(stopped.map(({ badServed }) => badServed)))),
    published === undefined
      ? ""
      : published
          .slice(3)
          .map((x) => x ?? "–")
          .join(" / "),
  ];
}

function rampTargets(all: readonly Ramped[]): Target[] {
  const own = all.filter(({ name }) => name in ramps);
  const misses = (fits: (ramped: Ramped) => string | null) => own.flatMap((ramped) => fits(ramped) ?? []);
  const equal = ({ name }: Ramped) => name.includes("identical");
  const edge = ({ name }: Ramped) => name.includes("boundary");
  const slow = misses(({ name, runs }) => {
    const got = [
      median(runs.filter(({ isFrozen }) => isFrozen).map(({ firstFreeze }) => firstFreeze)),
      median(runs.filter(({ isRolledBack }) => isRolledBack).map(({ minutes }) => minutes)),
      median(runs.filter(({ isDone }) => isDone).map(({ minutes }) => minutes)),
    ];
    const late = got.flatMap((minutes, i) => {
      const published = ramps[name]?.[i + 3];
      if (published === null || published === undefined || isWithin(minutes / 60, published, 1.2, RESOLUTION + 0.05)) return [];
      return [`${["freeze", "roll back", "100 %"][i]} ${hours(minutes)}, not ${published}`];
    });
    return late.length === 0 ? null : `${name}: ${late.join(", ")}`;
  });
  const rolledBack = misses((ramped) => (equal(ramped) && ramped.runs.some(({ isRolledBack }) => isRolledBack) ? ramped.name : null));
  const frozen = misses((ramped) => ((equal(ramped) || edge(ramped)) && share(ramped.runs, ({ isFrozen }) => isFrozen) > 0.05 ? ramped.name : null));
  const missed = misses((ramped) => (equal(ramped) || edge(ramped) || ramped.runs.every(({ isRolledBack }) => isRolledBack) ? null : ramped.name));
  const unfinished = misses((ramped) => (equal(ramped) && !ramped.runs.every(({ isDone }) => isDone) ? ramped.name : null));
  return [
    everyRow("identical arms are never rolled back on a whole ramp", rolledBack, own.filter(equal).length),
    everyRow("identical arms reach 100 %", unfinished, own.filter(equal).length),
    everyRow(
      "identical arms and those at every boundary are frozen in at most 5 % of ramps",
      frozen,
      own.filter((ramped) => equal(ramped) || edge(ramped)).length,
    ),
    everyRow("harmful candidates are rolled back, also when harm begins late", missed, own.filter((ramped) => !equal(ramped) && !edge(ramped)).length),
    everyRow("hours within 1.2 × of the prototype's (or one pane)", slow, own.length),
  ];
}

const stepNames = ["1 %", "5 %", "10 %", "25 %", "50 %"];

/** How often a step is left in which harm of the limit begins. */
export function stepSection(settings: Settings): Section {
  const rows: string[][] = [];
  const beyond: string[] = [];
  const steps = [1, 2, 3, 4];
  const n = runsOf(STEP_RUNS, settings);
  for (const model of rampModels) {
    const cells = steps.map((step) => {
      settings.progress(`false advance: ${model.rps}/s out of ${stepNames[step]}, ${n} runs`);
      const runs = runRamps(model, harmFrom(step), n, settings.seed + 400 + step);
      const left = share(runs, ({ leftOnset }) => leftOnset);
      if (left > 0.05) beyond.push(`${model.rps}/s, ${stepNames[step]}: ${percent(left, n)}`);
      return `${percent(left, n)}; two steps ${(100 * share(runs, (run) => run.step > step + 1)).toFixed(2)} %`;
    });
    rows.push([`${model.rps}/s`, ...cells]);
  }
  const late = [12, 24, 44].map((pane) => {
    settings.progress(`false advance: harm within a stay, pane ${pane} of 48`);
    return percent(
      share(runRamps(tenPerSecond, harmFrom(3, pane), n, settings.seed + 450), ({ leftOnset }) => leftOnset),
      n,
    );
  });
  const markdown = [
    table(["harm of the limit (task −5 pt) begins with the step", ...steps.map((step) => stepNames[step] ?? "")], rows),
    "Harm that begins within a stay of four hours at 25 %, 10 requests/s (no promise: it must last about as long as proof takes; freezing and the next step catch it):",
    table(["harm begins with pane", "12 of 48", "24 of 48", "44 of 48"], [["left the step", ...late]]),
  ].join("\n\n");
  return {
    markdown,
    targets: [everyRow("a step in which harm of the limit began is left in at most 5 % of rollouts", beyond, rampModels.length * steps.length)],
  };
}

const tenPerSecond: RampModel = { rps: 10, judged: 0.2 };

/** What single rules are for. */
export function ruleSection(settings: Settings): Section {
  const [unscoredN, outN, clusteredN] = [runsOf(2000, settings), runsOf(1000, settings), runsOf(500, settings)];
  settings.progress("single rules");
  const unscored = [false, true].map((isCounted) => unscoredRuns(unscoredN, settings.seed + 500, isCounted));
  const out = judgeOutageRuns(outN, settings.seed + 501);
  const clustered = [false, true].map((hasDeff) => clusteredRuns(clusteredN, settings.seed + 502, hasDeff));
  const rows = [
    [
      "unscored counts as failed (the judge abstains on 20 % of the candidate's failures, 5 points more): proven safe",
      percent(unscored[0] ?? 1, unscoredN),
      percent(unscored[1] ?? 1, unscoredN),
    ],
    ["the candidate's judge is out for an hour, arms identical: frozen", "", percent(out, outN)],
    [
      "design effect (72 h, 200 subjects per arm, correlation .3, at the edge): frozen",
      percent(clustered[0] ?? 1, clusteredN),
      percent(clustered[1] ?? 1, clusteredN),
    ],
  ];
  const targets: Target[] = [
    { what: "unscored that depends on the outcome: safe in at most 5 %", isMet: (unscored[1] ?? 1) <= 0.05, found: percent(unscored[1] ?? 1, unscoredN) },
    { what: "clustered subjects: frozen in at most 5 %", isMet: (clustered[1] ?? 1) <= 0.05, found: percent(clustered[1] ?? 1, clusteredN) },
    { what: "a judge's outage is no regression: frozen in at most 5 %", isMet: out <= 0.05, found: percent(out, outN) },
  ];
  return { markdown: table(["rule", "without", "with"], rows), targets };
}
