/**
 * One piece of an operation. The list of steps is the documentation: it is what the plan prints, what the journal stores, and
 * what the fault tests enumerate. Every step may be applied again after it was applied in part.
 */
export interface Step<C> {
  readonly name: string;
  /** What it does, in a sentence for people. */
  readonly description: string;
  /** Clients cannot write while it runs: its journal entries are written beside it, not before and after it. */
  readonly inWindow?: boolean;
  /** Its effect is the point of no return: before it every failure undoes, after it everything goes forward. */
  readonly pointOfNoReturn?: boolean;
  /** Does it; answers a detail for the journal. */
  apply(context: C): Promise<string | undefined>;
  /** Takes back what `apply` did, also in part; nothing to take back is no error. */
  undo?(context: C): Promise<void>;
}

/** Where a fault test may stop an operation. */
export type StopPoint = { readonly when: "before" | "after"; readonly step: string };

/** A point as text: `before drain`. */
export const stopPointName = ({ when, step }: StopPoint): string => `${when} ${step}`;

/** Every point of a list of steps, in order. */
export const stopPoints = (steps: readonly { readonly name: string }[]): StopPoint[] =>
  steps.flatMap(({ name }) => [
    { when: "before", step: name },
    { when: "after", step: name },
  ]);
