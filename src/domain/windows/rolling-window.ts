import type { Entry, WindowView } from "../../../topics/index.ts";
import { type Centroids, Digest, percentilesOf } from "../signals/digest.ts";
import { groupOf } from "../signals/names.ts";
import { keyOfParts } from "../signals/series.ts";
import { addMoments, type Moments, meanOf, momentsOf, noMoments, shownUnit, standardErrorOf } from "./moments.ts";
import { paneKey } from "./pane-set.ts";
import { answeredOf, coverageOf, digestOf } from "./tally.ts";

/** One record for `windows`: null means that the series has nothing in the window any more. */
export interface ViewChange {
  /** JSON of the fields that tell views of one prefix apart: route, rollout, attempt, version, arm, exposure, slice, signal, evaluator version, kind. */
  readonly key: string;
  readonly view: WindowView | null;
}

const counters = ["records", "sampled", "scored", "abstained", "failed"] as const;
type Counters = Record<(typeof counters)[number], number>;
type Identity = Pick<WindowView, "route" | "rollout" | "attempt" | "version" | "arm" | "exposure" | "slice" | "signal" | "evaluatorVersion" | "kind">;

interface PanePart extends Counters {
  readonly endMs: number;
  moments: Moments;
  /** One per frame until the pane is closed, then merged into one: a merge is dear (DESIGN.md section 3). */
  digests: Centroids[];
}

interface View {
  readonly identity: Identity;
  readonly panes: Map<string, PanePart>;
  /** Whether `windows` may hold a record of it; a successor does not know and says yes. */
  isWritten: boolean;
  percentiles: (number | null)[] | null;
}

interface Family {
  readonly views: Map<string, View>;
  isChanged: boolean;
}

const SHARES = [0.5, 0.9, 0.95, 0.99] as const;
const noCounts = (): Counters => ({ records: 0, sampled: 0, scored: 0, abstained: 0, failed: 0 });

function identityOf(entry: Entry): Identity {
  const { route, rollout, attempt, version, arm, exposure, slice, signal, evaluatorVersion, kind } = entry;
  return { route, rollout, attempt, version, arm, exposure, slice, signal, evaluatorVersion, kind };
}

function addTo(target: Counters, from: Counters): void {
  for (const name of counters) target[name] += from[name];
}

/** The rolling window of all series of one route: for people, from whole panes, the newest one still open. Digests come from closed panes only. */
export class RollingWindow {
  readonly #families = new Map<string, Family>();
  /** First frame of each pane that is held, for the successor. */
  readonly #panes = new Map<string, { readonly endMs: number; readonly offset: number }>();
  /** Panes that end here or before have left the window. */
  #leftMs: number;

  constructor(leftMs: number) {
    this.#leftMs = leftMs;
  }

  get isEmpty(): boolean {
    return this.#families.size === 0;
  }

  oldestOffset(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const { offset } of this.#panes.values()) oldest = Math.min(oldest, offset);
    return oldest;
  }

  add(entry: Entry, offset: number): void {
    const id = { startMs: entry.paneStartMs, paneMs: entry.paneMs };
    const endMs = id.startMs + id.paneMs;
    if (endMs <= this.#leftMs) return;
    const pane = paneKey(id);
    if (!this.#panes.has(pane)) this.#panes.set(pane, { endMs, offset });
    const { view, family } = this.#find(identityOf(entry));
    family.isChanged = true;
    let part = view.panes.get(pane);
    if (part === undefined) {
      part = { ...noCounts(), endMs, moments: noMoments, digests: [] };
      view.panes.set(pane, part);
    }
    addTo(part, entry);
    part.moments = addMoments(part.moments, momentsOf(entry));
    const digest = digestOf(entry);
    if (digest === null) return;
    part.digests.push(digest);
    view.percentiles = null;
  }

  #find(identity: Identity): { view: View; family: Family } {
    const { rollout, attempt, version, arm, exposure, slice, signal, kind } = identity;
    const key = keyOfParts(rollout, attempt, version, arm, exposure, slice, signal, kind);
    let family = this.#families.get(key);
    if (family === undefined) {
      family = { views: new Map(), isChanged: true };
      this.#families.set(key, family);
    }
    let view = family.views.get(identity.evaluatorVersion);
    if (view === undefined) {
      view = { identity, panes: new Map(), isWritten: true, percentiles: null };
      family.views.set(identity.evaluatorVersion, view);
    }
    return { view, family };
  }

  /**
   * Drops panes that left the window and gives the views that changed since the last time.
   *
   * @param closedToMs panes that end here or before are closed
   */
  refresh(watermarkMs: number, windowMs: number, closedToMs: number | null): ViewChange[] {
    this.#leftMs = Math.max(this.#leftMs, watermarkMs - windowMs);
    for (const [key, { endMs }] of this.#panes) if (endMs <= this.#leftMs) this.#panes.delete(key);
    const span = { fromMs: Math.max(0, watermarkMs - windowMs), toMs: watermarkMs, closedToMs };
    const changes: ViewChange[] = [];
    for (const [key, family] of this.#families) {
      for (const view of family.views.values()) this.#evict(view, family);
      if (!family.isChanged) continue;
      family.isChanged = false;
      changes.push(...changesOf(family, span));
      for (const [version, view] of family.views) if (view.panes.size === 0) family.views.delete(version);
      if (family.views.size === 0) this.#families.delete(key);
    }
    return changes;
  }

  #evict(view: View, family: Family): void {
    for (const [key, { endMs }] of view.panes) {
      if (endMs > this.#leftMs) continue;
      view.panes.delete(key);
      view.percentiles = null;
      family.isChanged = true;
    }
  }
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
  readonly closedToMs: number | null;
}

/** Of a judged signal, what was drawn is shown with the version that has most scores, as in its blocks. */
function changesOf({ views }: Family, span: Span): ViewChange[] {
  const filled = [...views.values()].filter(({ panes }) => panes.size > 0).map((view) => ({ view, counts: countsOf(view) }));
  const versions = filled.filter(({ view }) => view.identity.evaluatorVersion !== "").sort((a, b) => b.counts.scored - a.counts.scored);
  const drawn = filled.find(({ view }) => view.identity.evaluatorVersion === "");
  const shown = new Map<View, Counters>(filled.map(({ view, counts }) => [view, counts]));
  const [first, ...others] = versions;
  if (drawn !== undefined && first !== undefined) {
    shown.delete(drawn.view);
    for (const { counts } of others) counts.sampled = Math.max(counts.sampled, answeredOf(counts));
    const elsewhere = others.reduce((sum, { counts }) => sum + counts.sampled, 0);
    first.counts.records += drawn.counts.records;
    first.counts.sampled += Math.max(0, drawn.counts.sampled - elsewhere);
  }
  return [...views.values()].flatMap((view): ViewChange[] => {
    const counts = shown.get(view);
    const key = JSON.stringify(Object.values(view.identity));
    if (counts !== undefined) {
      view.isWritten = true;
      return [{ key, view: viewOf(view, counts, span) }];
    }
    if (!view.isWritten) return [];
    view.isWritten = false;
    return [{ key, view: null }];
  });
}

function countsOf(view: View): Counters {
  const counts = noCounts();
  for (const part of view.panes.values()) addTo(counts, part);
  return counts;
}

function closedDigests(view: View, closedToMs: number | null): Centroids[] {
  if (closedToMs === null) return [];
  return [...view.panes.values()].flatMap((part) => {
    if (part.endMs > closedToMs) return [];
    if (part.digests.length > 1) {
      const merged = new Digest();
      for (const digest of part.digests) merged.pushAll(digest);
      part.digests = [merged.centroids()];
    }
    return part.digests;
  });
}

function viewOf(view: View, counts: Counters, { fromMs, toMs, closedToMs }: Span): WindowView {
  const moments = [...view.panes.values()].reduce((sum, part) => addMoments(sum, part.moments), noMoments);
  const unit = shownUnit(view.identity.signal);
  view.percentiles ??= percentilesOf(closedDigests(view, closedToMs), SHARES).map((value) => (value === null ? null : value / unit));
  const [p50 = null, p90 = null, p95 = null, p99 = null] = view.percentiles;
  return {
    ...view.identity,
    fromMs,
    toMs,
    ...counts,
    mean: meanOf(moments),
    standardError: standardErrorOf(moments),
    p50,
    p90,
    p95,
    p99,
    coverage: groupOf(view.identity) === "calls" ? 1 : coverageOf(counts),
    watermarkMs: toMs,
  };
}
