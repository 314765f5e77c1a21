import type { RecordedCall } from "./calls.ts";
import { type Random, seeded } from "./random.ts";

/**
 * Built-in traffic: tasks whose truth is computed, answered by simulated versions with the published behaviour of real
 * ones. The figures of `march` and `june` are those of GPT-4 in March and June 2023 on primality (Chen, Zaharia, Zou,
 * "How is ChatGPT's behavior changing over time?", 2023): share right per class and mean output tokens. Schema failures
 * are the rates seen in the same recordings.
 */
export interface Behaviour {
  /** Chance of a right answer when the number is prime, and when it is composite. */
  readonly rightOnPrimes: number;
  readonly rightOnComposites: number;
  /** Chance that a task other than primality is answered right. */
  readonly rightElsewhere: number;
  /** Chance that the answer lacks the requested form. */
  readonly malformed: number;
  readonly meanOutputTokens: number;
  /** Median and log-spread of the latency in ms. */
  readonly medianLatencyMs: number;
  readonly latencySigma: number;
}

export const march: Behaviour = {
  rightOnPrimes: 0.976,
  rightOnComposites: 0.704,
  rightElsewhere: 0.93,
  malformed: 0.004,
  meanOutputTokens: 215,
  medianLatencyMs: 1200,
  latencySigma: 0.45,
};
/** The next snapshot as it might have been: as good, to the same figures. */
export const asGood: Behaviour = { ...march };
/** What became of it in reality. Shorter answers are quicker, which no dashboard would have complained about. */
export const june: Behaviour = { ...march, rightOnPrimes: 0.024, rightOnComposites: 0.998, malformed: 0.053, meanOutputTokens: 2.9, medianLatencyMs: 500 };
/** As good in every answer, from a provider that takes two and a half times as long. */
export const slower: Behaviour = { ...march, medianLatencyMs: 3000 };

interface TaskText {
  readonly id: string;
  readonly prompt: string;
  readonly kind: "prime" | "composite" | "arithmetic" | "extraction";
  readonly reference: string;
  readonly wrong: string;
}

const answerForm = 'Reply with one JSON object {"reasoning": "...", "answer": "..."} and nothing else.';
const names = ["Ada Byron", "Alan Turing", "Grace Hopper", "Edsger Dijkstra", "Barbara Liskov", "Donald Knuth", "Frances Allen", "Niklaus Wirth"];
const cities = ["Zurich", "Lagos", "Osaka", "Lima", "Oslo", "Pune", "Quito", "Turin"];

export function isPrime(n: number): boolean {
  if (n < 2) return false;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return true;
}

function primality(random: Random, wantPrime: boolean): TaskText {
  let n = 0;
  do n = 10_001 + 2 * random.below(20_000);
  while (isPrime(n) !== wantPrime);
  const [reference, wrong] = wantPrime ? ["yes", "no"] : ["no", "yes"];
  return { id: `prime-${n}`, prompt: `Is ${n} a prime number? ${answerForm}`, kind: wantPrime ? "prime" : "composite", reference, wrong };
}

function arithmetic(random: Random): TaskText {
  const [a, b, c] = [100 + random.below(900), 10 + random.below(90), 100 + random.below(900)];
  const right = a * b + c;
  return {
    id: `arithmetic-${a}-${b}-${c}`,
    prompt: `What is ${a} * ${b} + ${c}? ${answerForm}`,
    kind: "arithmetic",
    reference: String(right),
    wrong: String(right + 10 * (1 + random.below(9))),
  };
}

function extraction(random: Random): TaskText {
  const [name, city, order] = [random.pick(names), random.pick(cities), 10_000 + random.below(90_000)];
  return {
    id: `extraction-${order}`,
    prompt: `"Hello, ${name} here, writing from ${city} about order ${order}." Which order number is meant? ${answerForm}`,
    kind: "extraction",
    reference: String(order),
    wrong: String(order + 1 + random.below(8)),
  };
}

/** Draws `count` different prompts: half of them primality (both classes alike), the rest arithmetic and extraction. */
export function drawTasks(random: Random, count: number, primalityShare: number): TaskText[] {
  const tasks = new Map<string, TaskText>();
  while (tasks.size < count) {
    const roll = random.next();
    const task = roll < primalityShare ? primality(random, random.chance(0.5)) : random.chance(0.5) ? arithmetic(random) : extraction(random);
    tasks.set(task.id, task);
  }
  return [...tasks.values()];
}

function chanceOfRight(task: TaskText, behaviour: Behaviour): number {
  if (task.kind === "prime") return behaviour.rightOnPrimes;
  if (task.kind === "composite") return behaviour.rightOnComposites;
  return behaviour.rightElsewhere;
}

function answer(task: TaskText, version: string, behaviour: Behaviour, random: Random): RecordedCall {
  const right = random.chance(chanceOfRight(task, behaviour));
  const wellFormed = !random.chance(behaviour.malformed);
  const given = right ? task.reference : task.wrong;
  const tokens = Math.max(1, Math.round(behaviour.meanOutputTokens * Math.exp(0.3 * random.normal() - 0.045)));
  const words = Array.from({ length: Math.min(tokens, 400) }, (_, i) => `step${i + 1}`).join(" ");
  const json = JSON.stringify({ reasoning: words, answer: given });
  return {
    prompt_id: task.id,
    model_version: version,
    prompt: task.prompt,
    output: wellFormed ? json : `The answer is ${given}. ${words}`,
    reference: task.reference,
    task_pass: right,
    schema_valid: wellFormed,
    latency_ms: Math.round(behaviour.medianLatencyMs * Math.exp(behaviour.latencySigma * random.normal())),
    output_tokens: tokens,
    input_tokens: Math.round(task.prompt.length / 4),
    cost_usd: (task.prompt.length / 4) * 3e-5 + tokens * 6e-5,
  };
}

/**
 * Recorded calls of several versions over the same prompts, drawn from their published behaviour.
 *
 * @param primalityShare share of prompts that ask for primality, in [0, 1]
 */
export function publishedCalls(seed: number, versions: Readonly<Record<string, Behaviour>>, prompts: number, primalityShare: number): RecordedCall[] {
  const tasks = drawTasks(seeded(seed), prompts, primalityShare);
  return Object.entries(versions).flatMap(([version, behaviour], index) => {
    const random = seeded(seed * 31 + index + 1);
    return tasks.map((task) => answer(task, version, behaviour, random));
  });
}
