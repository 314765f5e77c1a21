import { type ComparatorName, comparatorNames } from "./comparators.ts";
import { type GatesRun, runGates } from "./gates.ts";
import { plannedMinutes } from "./planned.ts";
import { detection, growthbookB, outages, safety } from "./published.ts";
import { everyRow, isWithin, median, percent, type Section, share, spread, type Target, table } from "./report.ts";
import { atEdge, atFloor, baseLevels, harmful, identical, type Model, models, type Scenario, signalNames } from "./traffic.ts";
import { waldMinutes } from "./wald.ts";

/** How much to run. */
export interface Settings {
  readonly seed: number;
  /** 1: as documented. */
  readonly scale: number;
  readonly progress: (what: string) => void;
}

const runsOf = (runs: number, { scale }: Settings) => Math.max(20, Math.round(runs * scale));
const isStopped = (minute: number) => Number.isFinite(minute);
const DETECTION_RUNS = 400;
const COMPARED_RUNS = 200;
const WATCHED_RUNS = 300;

/** Identical arms, and candidates at the edge of every tolerated margin: nothing may stop them more often than alpha. */
export function falseStops(settings: Settings): Section {
  const rows: string[][] = [];
  const others: string[][] = [];
  const safeRows: string[][] = [];
  const targets: Target[] = [];
  for (const model of models) {
    for (const [k, scenario] of [identical, atEdge, atFloor].entries()) {
      const n = runsOf(scenario === atFloor ? model.runs / 2 : model.runs, settings);
      settings.progress(`false stops: ${model.name} ${scenario.name}, ${n} runs`);
      const isCompared = scenario !== atFloor;
      // What can be proven safe, and other rules, are watched in some of the runs: they cost more than headgate's harm does.
      const watched = isCompared ? Math.min(n, runsOf(WATCHED_RUNS, settings)) : 0;
      const runs = [
        ...runGates(model, scenario, { runs: watched, seed: settings.seed + k, compared: watched, advances: true, toTheEnd: true }),
        ...runGates(model, scenario, { runs: n - watched, seed: settings.seed + 50 + k }),
      ];
      const name = `${model.name} ${scenario.name}`;
      const of = (is: (run: GatesRun) => boolean) => percent(share(runs, is), n);
      rows.push([
        name,
        String(n),
        of((run) => isStopped(run.freeze)),
        of((run) => isStopped(run.freezeStrict)),
        of((run) => isStopped(run.rollback)),
        of((run) => isStopped(run.rollbackStrict)),
        of(({ thaws }) => thaws > 0),
        of(({ isFrozenAtEnd }) => isFrozenAtEnd),
      ]);
      const seen = runs.slice(0, watched);
      const alarmed = (rule: ComparatorName) =>
        percent(
          share(seen, ({ alarms }) => alarms !== null && isStopped(alarms[rule])),
          watched,
        );
      if (isCompared) others.push([name, String(watched), ...comparatorNames.map(alarmed)]);
      if (isCompared) safeRows.push(safeRow(name, seen));
      targets.push(...falseStopTargets(name, runs, scenario));
      if (scenario === identical) safeRows.push(publishedRow(model));
    }
  }
  const head = ["", "runs", "freeze, α .05", "freeze, α .01", "rolled back, α .05", "rolled back, α .01", "thawed", "frozen at the end"];
  const markdown = [
    table(head, rows),
    "Other rules on the same traffic, an alarm of any signal within the horizon:",
    table(["", "runs", "thresholds over 15 minutes", "Kayenta's Mann-Whitney", "z, .05/8, each minute", "GrowthBook's bound, .05/8"], others),
    "Minutes until a signal is proven safe for the first time, and until all are at once, median (p90):",
    table(["", ...signalNames, "**all**"], safeRows),
  ].join("\n\n");
  return { markdown, targets };
}

function safeRow(name: string, runs: readonly GatesRun[]): string[] {
  return [
    name,
    ...signalNames.map((_, i) => spread(runs.map(({ safe }) => safe[i] ?? Number.POSITIVE_INFINITY))),
    `**${spread(runs.map(({ allSafe }) => allSafe))}**`,
  ];
}

const publishedRow = ({ name }: Model): string[] => [`${name} identical, prototype`, ...(safety[name] ?? []).map(String)];

function falseStopTargets(name: string, runs: readonly GatesRun[], scenario: Scenario): Target[] {
  const n = runs.length;
  const [freeze, strict] = [share(runs, (run) => isStopped(run.freeze)), share(runs, (run) => isStopped(run.freezeStrict))];
  const found = `${percent(freeze, n)}, ${percent(strict, n)}`;
  const frozen = { what: `${name}: frozen at most α (.05, .01)`, isMet: freeze <= 0.05 && strict <= 0.01, found };
  if (scenario !== identical) return [frozen];
  const rolledBack = share(runs, (run) => isStopped(run.rollback));
  return [frozen, { what: `${name}: never rolled back`, isMet: rolledBack === 0, found: percent(rolledBack, n) }];
}

interface Detected {
  readonly name: string;
  readonly model: Model;
  readonly scenario: Scenario;
  readonly runs: readonly GatesRun[];
  readonly compared: readonly GatesRun[];
}

/** Harmful candidates: minutes and exposure until they are stopped. */
export function detectionSection(settings: Settings): Section {
  const found: Detected[] = [];
  for (const model of models) {
    for (const [k, scenario] of harmful.entries()) {
      const n = runsOf(DETECTION_RUNS, settings);
      settings.progress(`detection: ${model.name} ${scenario.name}, ${n} runs`);
      const runs = runGates(model, scenario, { runs: n, seed: settings.seed + 100 + k, compared: runsOf(COMPARED_RUNS, settings) });
      found.push({ name: `${model.name} ${scenario.name}`, model, scenario, runs, compared: runs.filter(({ alarms }) => alarms !== null) });
    }
  }
  const markdown = [
    table(
      [
        "median (p90)",
        "Wald",
        "frozen / rolled back",
        "freeze, α .05",
        "rolled back, α .05",
        "freeze, α .01",
        "rolled back, α .01",
        "records to freeze",
        "requests exposed",
      ],
      found.map(detectionRow),
    ),
    "Other rules: share of runs with an alarm of any signal, and its minute; false alarms of the other signals count too, which is why the thresholds seem fast.",
    table(
      ["", "headgate, freeze α .05", "thresholds over 15 minutes", "Kayenta's Mann-Whitney", "z, .05/8, each minute", "GrowthBook's bound, .05/8"],
      found.map(otherRow),
    ),
  ].join("\n\n");
  return { markdown, targets: detectionTargets(found) };
}

function detectionRow({ name, model, scenario, runs }: Detected): string[] {
  const rate = isJudged(scenario) ? model.judged[0] : model.calls[0];
  const both = `${(100 * share(runs, ({ freeze }) => isStopped(freeze))).toFixed(1)} / ${(100 * share(runs, ({ rollback }) => isStopped(rollback))).toFixed(1)} %`;
  const minutes = [
    runs.map(({ freeze }) => freeze),
    runs.map(({ rollback }) => rollback),
    runs.map(({ freezeStrict }) => freezeStrict),
    runs.map((run) => run.rollbackStrict),
  ];
  const records = spread(runs.map(({ freeze }) => freeze * rate));
  return [
    name,
    waldMinutes(model, scenario, 0.05, baseLevels).toFixed(1),
    both,
    ...minutes.map(spread),
    records,
    spread(runs.map(({ rollback }) => rollback * model.calls[0])),
  ];
}

const isJudged = ({ harmed }: Scenario) => harmed === "task" || harmed === "groundedness";

function otherRow({ name, compared }: Detected): string[] {
  const cells = comparatorNames.map((rule) => {
    const alarms = compared.map((run) => run.alarms?.[rule] ?? Number.POSITIVE_INFINITY);
    return `${(100 * share(alarms, isStopped)).toFixed(0)} %, ${spread(alarms)}`;
  });
  return [name, spread(compared.map(({ freeze }) => freeze)), ...cells];
}

/** Medians of a row, as `published.ts` orders them. */
const mediansOf = (runs: readonly GatesRun[]) =>
  [
    runs.map(({ freeze }) => freeze),
    runs.map(({ rollback }) => rollback),
    runs.map(({ freezeStrict }) => freezeStrict),
    runs.map(({ rollbackStrict }) => rollbackStrict),
  ].map(median);

function detectionTargets(found: readonly Detected[]): Target[] {
  const columns = ["freeze .05", "rollback .05", "freeze .01", "rollback .01"];
  const slow = found.flatMap(({ name, runs }) =>
    mediansOf(runs).flatMap((got, i) => {
      const published = detection[name]?.[i + 1] ?? Number.NaN;
      return isWithin(got, published, 1.2, 1) ? [] : [`${name}, ${columns[i]}: ${got}, not ${published}`];
    }),
  );
  const beyondWald = found.flatMap(({ name, model, scenario, runs }) => {
    const [got, wald] = [median(runs.map(({ freeze }) => freeze)), waldMinutes(model, scenario, 0.05, baseLevels)];
    return isWithin(got, 3 * wald, 1, 1) ? [] : [`${name}: ${got}, Wald ${wald.toFixed(1)}`];
  });
  const beyondGrowthbook = found.flatMap(({ name, compared }) => {
    const [got, other] = [median(compared.map(({ freeze }) => freeze)), median(compared.map(({ alarms }) => alarms?.growthbook ?? Number.POSITIVE_INFINITY))];
    return got <= 1.15 * other ? [] : [`${name}: ${got}, GrowthBook ${other}`];
  });
  const misplanned = found.flatMap(({ name, model, scenario, runs }) => {
    const [got, planned] = [median(runs.map(({ freeze }) => freeze)), plannedMinutes(model, scenario)];
    const isNear = planned !== null && isWithin(got, planned, 1.5, 1) && isWithin(planned, got, 1.5, 1);
    return isNear ? [] : [`${name}: planned ${planned?.toFixed(1) ?? "never"}, simulated ${got}`];
  });
  const published = Object.entries(growthbookB).map(([scenario, minutes]) => `${scenario} ${minutes}`);
  return [
    everyRow("medians within 1.2 × of the prototype's (or one pane)", slow, 4 * found.length),
    everyRow("freeze within 3 × the one-signal Wald bound (or one pane)", beyondWald, found.length),
    everyRow(
      `never slower than 1.15 × GrowthBook's bound on the same runs (the prototype's own for B: ${published.join(", ")})`,
      beyondGrowthbook,
      found.length,
    ),
    everyRow("`headgate plan` within 1.5 × of the median freeze (or one pane)", misplanned, found.length),
  ];
}

const OUTAGES: readonly (readonly [name: string, from: number, minutes: number])[] = [
  ["1 min, inside a pane", 0, 1],
  ["1 min, over two panes", 0.5, 1],
  ["3 min", 0, 3],
  ["5 min", 0.3, 5],
  ["20 min", 0.3, 20],
];
const OUTAGE_MINUTES = 200;

/** A total outage of the candidate's upstream: a short one freezes and thaws, a long one rolls back. */
export function outageSection(settings: Settings): Section {
  const rows: string[][] = [];
  const targets: Target[] = [];
  const unlike: string[] = [];
  for (const model of models.filter(({ name }) => name !== "C")) {
    for (const at of [10, 120]) {
      for (const [name, from, minutes] of OUTAGES) {
        const n = runsOf(model.name === "B" && at === 10 && from === 0.5 ? 5000 : 500, settings);
        settings.progress(`outages: ${model.name} in minute ${at}, ${name}, ${n} runs`);
        const [begins, ends] = [at + from, at + from + minutes];
        const outageAt = (minute: number) => Math.min(Math.max(Math.min(ends, minute) - Math.max(begins, minute - 1), 0), 1);
        const runs = runGates(model, identical, { runs: n, seed: settings.seed + 200, minutes: OUTAGE_MINUTES, outageAt });
        rows.push(outageRow(`${model.name}, minute ${at}: ${name}`, runs, begins, outages[`${model.name} ${at} ${name}`]));
        targets.push(...outageTargets(`${model.name}, minute ${at}, ${name}`, runs, minutes));
        const got = 100 * share(runs, ({ rollback }) => isStopped(rollback));
        const published = outages[`${model.name} ${at} ${name}`] ?? Number.NaN;
        if (!(Math.abs(got - published) <= 5)) unlike.push(`${model.name}, minute ${at}, ${name}: ${got.toFixed(1)} %, not ${published} %`);
      }
    }
  }
  targets.push(everyRow("outages are rolled back as often as the prototype did, within 5 points", unlike, rows.length));
  const head = ["outage", "runs", "frozen", "rolled back", "prototype", "minutes from its begin to the rollback", "thawed"];
  return { markdown: table(head, rows), targets };
}

function outageRow(name: string, runs: readonly GatesRun[], begins: number, published: number | undefined): string[] {
  const n = runs.length;
  const after = runs.filter(({ rollback }) => isStopped(rollback)).map(({ rollback }) => rollback - begins);
  return [
    name,
    String(n),
    percent(
      share(runs, ({ freeze }) => isStopped(freeze)),
      n,
    ),
    percent(
      share(runs, ({ rollback }) => isStopped(rollback)),
      n,
    ),
    published === undefined ? "" : `${published} %`,
    after.length === 0 ? "–" : spread(after),
    percent(
      share(runs, ({ thaws }) => thaws > 0),
      n,
    ),
  ];
}

function outageTargets(name: string, runs: readonly GatesRun[], minutes: number): Target[] {
  const n = runs.length;
  const rolledBack = share(runs, ({ rollback }) => isStopped(rollback));
  const found = percent(rolledBack, n);
  if (minutes === 20) return [{ what: `${name}: rolled back`, isMet: rolledBack === 1, found }];
  // "Never" means within alpha: the prototype's own figure for the worst case is .12 ± .05 %.
  return minutes === 1 ? [{ what: `${name}: not rolled back (at most .3 %, as the prototype's worst with its error)`, isMet: rolledBack <= 0.003, found }] : [];
}
