import { Failure, messageOf } from "#contract/failure-reasons.ts";
import type { Step, StopPoint } from "./step.ts";

/** Where the steps' progress is written. */
export interface StepJournal {
  /** `wait`: come back once it is stored. Errors only when waiting. */
  began(step: string, wait: boolean): Promise<void>;
  done(step: string, durationMs: number, detail: string | undefined, wait: boolean): Promise<void>;
  failed(step: string, because: string): Promise<void>;
  undone(step: string): Promise<void>;
}

/** What steps are run with. */
export interface StepRun<C> {
  readonly steps: readonly Step<C>[];
  readonly context: C;
  readonly journal: StepJournal;
  /** Throws when the operation may not go on: `lock-lost`, `superseded`; before the point of no return also when it was asked to end. */
  readonly guard: (past: boolean) => void;
  /** Whether the point of no return was passed, as the authority says. Asked after a failure of that very step. */
  readonly isPast: () => Promise<boolean>;
  /**
   * Whether another has taken over, as the authority says. A node refuses a command also because it has seen the fence of an attempt
   * that came to nothing.
   */
  readonly isSuperseded: () => Promise<boolean>;
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** For fault tests: called at every point. */
  readonly stopAt: (point: StopPoint) => Promise<void>;
  readonly log: { info(line: string): void; warn(line: string): void };
}

/** How the steps ended. */
export type StepsOutcome =
  | { readonly outcome: "done" }
  /** It failed before the point of no return, and what was done was undone. */
  | { readonly outcome: "undone"; readonly error: unknown }
  /** After the point of no return, or the undoing failed. */
  | { readonly outcome: "failed"; readonly error: unknown; readonly past: boolean }
  /** Another has taken over; nothing more was done. */
  | { readonly outcome: "superseded"; readonly error: unknown };

/** How often a step after the point of no return is tried, and how long between, milliseconds. */
const forwardTries = 8;
const forwardPauseMs = 1000;
/** How often an undo is tried. */
const undoTries = 5;

const isOver = (error: unknown): boolean =>
  error instanceof Failure && (error.reason === "superseded" || error.reason === "lock-lost");

const isLost = (error: unknown): boolean => error instanceof Failure && error.reason === "lock-lost";

/** Asks the authority until it answers, or the lock is lost: nothing may be undone, or called done, before it has said which. */
const hasPassed = async <C>({ guard, isPast, log, sleep }: StepRun<C>): Promise<boolean> => {
  for (;;) {
    try {
      return await isPast();
    } catch (error) {
      log.warn(`whether the point of no return was passed is not known yet: ${messageOf(error)}`);
      guard(true);
      await sleep(forwardPauseMs);
    }
  }
};

/** Undoes the named steps, the last one first. */
export const undoSteps = async <C>(run: StepRun<C>, names: readonly string[]): Promise<StepsOutcome> => {
  const { context, guard, journal, log, sleep, steps } = run;
  let failure: unknown;
  for (const step of [...steps].reverse().filter(({ name }) => names.includes(name))) {
    if (!step.undo) continue;
    for (let tries = 1; ; tries++) {
      try {
        guard(true);
        await step.undo(context);
        await journal.undone(step.name);
        log.info(`${step.name}: undone`);
        break;
      } catch (error) {
        if (isOver(error)) return { outcome: "superseded", error };
        log.warn(`${step.name} could not be undone: ${messageOf(error)}`);
        if (tries === undoTries) {
          failure = error;
          break;
        }
        await sleep(forwardPauseMs);
      }
    }
  }
  return failure === undefined
    ? { outcome: "undone", error: undefined }
    : { outcome: "failed", error: failure, past: false };
};

/** Runs the steps from one of them on. Before the point of no return a failure undoes everything, after it the step is tried again. */
export const runSteps = async <C>(run: StepRun<C>, from = 0): Promise<StepsOutcome> => {
  const { context, guard, journal, log, now, sleep, steps, stopAt } = run;
  const pivot = steps.findIndex((step) => step.pointOfNoReturn);
  for (const [index, step] of steps.entries()) {
    if (index < from) continue;
    const past = pivot !== -1 && index > pivot;
    const wait = step.inWindow !== true;
    for (let tries = 1; ; tries++) {
      const began = now();
      try {
        guard(past);
        await journal.began(step.name, wait);
        await stopAt({ when: "before", step: step.name });
        const detail = await step.apply(context);
        await journal.done(step.name, now() - began, detail, wait);
        log.info(`${step.name}: ${Math.round(now() - began)} ms${detail === undefined ? "" : `, ${detail}`}`);
        await stopAt({ when: "after", step: step.name });
        break;
      } catch (error) {
        log.warn(`${step.name}: ${messageOf(error)}`);
        if (isOver(error) && (past || isLost(error) || (await run.isSuperseded().catch(() => true)))) {
          return { outcome: "superseded", error };
        }
        const isPivot = index === pivot;
        let gone = past;
        if (isPivot) {
          try {
            gone = await hasPassed(run);
          } catch (lost) {
            return { outcome: "superseded", error: lost };
          }
        }
        if (gone) {
          // A pivot that took effect although it failed is done.
          if (isPivot) break;
          if (tries < forwardTries) {
            await sleep(forwardPauseMs);
            continue;
          }
          await journal.failed(step.name, messageOf(error));
          return { outcome: "failed", error, past: true };
        }
        await journal.failed(step.name, messageOf(error));
        const undone = await undoSteps(
          run,
          steps.slice(0, index + 1).map(({ name }) => name),
        );
        return undone.outcome === "undone" ? { outcome: "undone", error } : undone;
      }
    }
  }
  return { outcome: "done" };
};
