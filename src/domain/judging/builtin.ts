/** A rubric that comes with headgate. Its digest is the SHA-256 of the text: a changed text needs a new version in its name. */
export interface BuiltinRubric {
  readonly name: string;
  readonly text: string;
  /** What the text says that it scores, for whoever has no YAML at hand; `grid` is a score of 0..1. A test compares both. */
  readonly signals: readonly { readonly name: string; readonly form: "binary" | "grid" }[];
}

const task = `name: task@1
instructions: >-
  Judge whether the answer completes the task that the prompt sets. Work the task out yourself first, then compare. When a
  reference is given, it is a correct result: an answer that says the same in other words is correct too. Style, tone and
  length do not matter unless the prompt asks for them.
context: system
signals:
  - name: task_completion
    form: binary
    criteria:
      - id: addresses_task
        question: Does the answer do what the prompt asks, rather than something else, a refusal, or a question back that was not needed?
      - id: correct
        question: Is the result that the answer gives correct, without an error that matters for the task?
      - id: complete
        question: Does the answer cover every part of the task, and keep every limit on content and form that the prompt states?
`;

const grounded = `name: grounded@1
instructions: >-
  Judge whether the answer is attributable to the material that it was given: the context and the prompt. Your own knowledge
  is no source here: a true statement that the material does not support counts as unsupported. Plain reasoning from the
  material, and saying that the material does not hold the answer, are supported.
context: conversation
signals:
  - name: groundedness
    form: binary
    criteria:
      - id: supported
        question: Is every factual statement of the answer supported by the context or the prompt?
      - id: uncontradicted
        question: Is the answer free of statements that contradict the context or the prompt?
`;

const factual = `name: factual@1
instructions: >-
  Judge whether what the answer states about the world is true. When a reference is given, it is true. Mark a criterion as na
  when the answer makes no statement of that kind, and as unsure when you do not know.
context: system
signals:
  - name: factuality
    form: score
    criteria:
      - id: main_claim_true
        question: Is the main statement of the answer true?
      - id: details_true
        question: Are the names, numbers, dates and quotations in the answer right?
      - id: nothing_invented
        question: Does everything that the answer mentions (sources, people, products, functions, events) exist?
      - id: certainty_fits
        question: Does the answer claim no more certainty than the facts allow?
`;

/** Rubrics that need not be brought along with a spec. */
export const builtinRubrics: readonly BuiltinRubric[] = [
  { name: "task@1", text: task, signals: [{ name: "task_completion", form: "binary" }] },
  { name: "grounded@1", text: grounded, signals: [{ name: "groundedness", form: "binary" }] },
  { name: "factual@1", text: factual, signals: [{ name: "factuality", form: "grid" }] },
];
