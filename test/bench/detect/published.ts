/**
 * Figures of the prototype (statistics.md section 3, marked [v2]), which this bench is compared with: medians in minutes, by model
 * and scenario: Wald's bound, freeze and rollback at alpha .05, freeze and rollback at .01.
 */
export type DetectionRow = readonly [wald: number, freeze: number, rollback: number, freeze01: number, rollback01: number];

export const detection: Readonly<Record<string, DetectionRow>> = {
  "A schema 2 % invalid": [3.9, 7, 15, 9, 17],
  "A schema 5 % invalid": [0.7, 2, 5, 2, 6],
  "A error 1 → 3 %": [5.9, 11, 21, 14, 25],
  "A task −5 pt": [54, 94, 132, 120, 155],
  "A task −10 pt": [11, 23, 35, 29, 42],
  "A groundedness −.05": [7.9, 15, 24, 19, 29],
  "A P95 +15 %": [9.9, 20, 32, 24, 37],
  "A P95 +30 %": [2.1, 5, 10, 6, 11],
  "A cost +40 %": [2.6, 4, 8, 5, 9],
  "B schema 2 % invalid": [19, 30, 57, 39, 69],
  "B schema 5 % invalid": [3.5, 7, 16, 9, 18],
  "B error 1 → 3 %": [29, 50, 84, 71, 104],
  "B task −5 pt": [67, 132, 176, 176, 212],
  "B task −10 pt": [15, 30, 45, 39, 54],
  "B groundedness −.05": [9.9, 19, 31, 25, 38],
  "B P95 +15 %": [50, 96, 133, 124, 166],
  "B P95 +30 %": [10, 21, 34, 27, 42],
  "B cost +40 %": [13, 18, 29, 23, 36],
  "C schema 2 % invalid": [7.8, 15, 27, 19, 33],
  "C schema 5 % invalid": [1.4, 3, 8, 4, 9],
  "C error 1 → 3 %": [11, 19, 35, 26, 42],
  "C task −5 pt": [54, 101, 136, 127, 167],
  "C task −10 pt": [11, 24, 37, 30, 44],
  "C groundedness −.05": [7.9, 15, 24, 19, 29],
  "C P95 +15 %": [19, 33, 53, 44, 63],
  "C P95 +30 %": [3.9, 9, 16, 11, 18],
  "C cost +40 %": [5, 7, 13, 9, 15],
};

/** Section 3.2, GrowthBook's bound at .05/8 per gate, model B: median minutes. */
export const growthbookB: Readonly<Record<string, number>> = {
  "schema 2 % invalid": 89,
  "error 1 → 3 %": 97,
  "task −5 pt": 123,
  "task −10 pt": 34,
  "P95 +15 %": 117,
  "P95 +30 %": 30,
  "cost +40 %": 25,
};

/** Section 3.4: median minutes until a signal is safe, identical arms, in the order of the traffic's signals; then all at once. */
export const safety: Readonly<Record<string, readonly number[]>> = {
  A: [38, 17, 33, 18, 18, 22, 22, 7, 72],
  B: [173, 77, 42, 22, 22, 98, 103, 33, 301],
  C: [71, 32, 34, 17, 19, 42, 44, 14, 121],
};

/** Section 3.3, percent rolled back, by model, minute of the outage, and its length. */
export const outages: Readonly<Record<string, number>> = {
  "B 10 1 min, inside a pane": 0,
  "B 10 1 min, over two panes": 0.12,
  "B 10 3 min": 83.8,
  "B 10 5 min": 100,
  "B 10 20 min": 100,
  "B 120 1 min, inside a pane": 0,
  "B 120 1 min, over two panes": 0,
  "B 120 3 min": 2.2,
  "B 120 5 min": 99.4,
  "B 120 20 min": 100,
  "A 10 1 min, inside a pane": 0,
  "A 10 1 min, over two panes": 0,
  "A 10 3 min": 100,
  "A 10 5 min": 100,
  "A 10 20 min": 100,
  "A 120 1 min, inside a pane": 0,
  "A 120 1 min, over two panes": 0,
  "A 120 3 min": 60.8,
  "A 120 5 min": 100,
  "A 120 20 min": 100,
};

/** Section 3.5: percent frozen once, rolled back, at 100 %; hours to the first freeze, to the rollback, to 100 %. */
export const ramps: Readonly<Record<string, readonly (number | null)[]>> = {
  "3 identical, flat": [0.1, 0, 100, null, null, 11.9],
  "3 identical, diurnal": [0.1, 0, 100, null, null, 12.5],
  "3 at every boundary, diurnal": [1.2, 0.1, 0, null, null, null],
  "3 schema 2 %": [100, 100, 0, 1.4, 2.6, null],
  "3 task −5 pt": [100, 100, 0, 3.7, 5.2, null],
  "3 task −10 pt": [100, 100, 0, 1.4, 2, null],
  "3 task −10 pt, first at 25 %": [100, 100, 0, 10.1, 10.3, null],
  "10 identical, flat": [0, 0, 100, null, null, 5.1],
  "10 identical, diurnal": [0, 0, 100, null, null, 5.7],
  "10 at every boundary, diurnal": [0.7, 0, 0, null, null, null],
  "10 schema 2 %": [100, 100, 0, 0.8, 1.5, null],
  "10 task −5 pt": [100, 100, 0, 5.2, 7, null],
  "10 task −10 pt": [100, 100, 0, 1.7, 2.5, null],
  "10 task −10 pt, first at 25 %": [100, 100, 0, 4.6, 4.8, null],
  "50 identical, flat": [0.1, 0, 100, null, null, 2.8],
  "50 identical, diurnal": [0.1, 0, 100, null, null, 2.9],
  "50 at every boundary, diurnal": [0.7, 0.1, 0, null, null, null],
  "50 schema 2 %": [100, 100, 0, 0.3, 0.8, null],
  "50 task −5 pt": [100, 100, 0, 2.6, 3.8, null],
  "50 task −10 pt": [100, 100, 0, 1.1, 1.6, null],
  "50 task −10 pt, first at 25 %": [100, 100, 0, 2.1, 2.2, null],
};
