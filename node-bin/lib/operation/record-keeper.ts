import { Failure, messageOf } from "#contract/failure-reasons.ts";
import type { OperationRecord, OperationStep } from "#contract/operation.ts";
import type { Journal, OperationContent } from "../coordination/journal.ts";
import type { StepJournal } from "./run-steps.ts";

/** The record of a running operation: one write after the other, each with all that has happened until then. */
export interface RecordKeeper extends StepJournal {
  current(): OperationRecord;
  /** Changes the record and waits until it is stored. */
  change(changes: Partial<OperationContent>): Promise<void>;
  /** Set when a person asked for the end. */
  abortRequested(): string | undefined;
  /** Waits until everything is stored. */
  settled(): Promise<void>;
}

/** How long what happens while clients are refused may stay unwritten, milliseconds. */
const laterMs = 400;

/**
 * Keeps one record. A write that another's came before is made again on top of it, when that was a request to end; when it was
 * anything else, another runs this operation.
 */
export const keepRecord = (options: {
  readonly record: OperationRecord;
  readonly journal: Journal;
  readonly now: () => Date;
  readonly log: { warn(line: string): void };
}): RecordKeeper => {
  const { journal, log, now } = options;
  let stored = options.record;
  let wanted: Partial<OperationContent> = {};
  let steps: OperationStep[] = [...stored.steps];
  let writing: Promise<void> | undefined;
  let dirty = false;
  let abort = stored.abort_requested_at === undefined ? undefined : (stored.abort_requested_by ?? "a person");

  const writeOnce = async (): Promise<void> => {
    for (let tries = 1; ; tries++) {
      const result = await journal.replace(stored, { ...wanted, steps });
      if (result.written) {
        stored = result.record;
        return;
      }
      const { current } = result;
      if (!current || current.node !== stored.node || current.attempt !== stored.attempt || tries === 5) {
        throw new Failure("lock-lost", {
          message: `The record of operation ${stored.operation_id} was written by another.`,
        });
      }
      if (current.abort_requested_at !== undefined) abort = current.abort_requested_by ?? "a person";
      wanted = {
        ...wanted,
        abort_requested_at: current.abort_requested_at,
        abort_requested_by: current.abort_requested_by,
      };
      stored = current;
    }
  };
  const write = async (): Promise<void> => {
    while (dirty) {
      dirty = false;
      await writeOnce();
    }
  };
  /** What happens during a write goes into the next one, all at once. */
  const store = (): Promise<void> => {
    dirty = true;
    writing ??= write().finally(() => {
      writing = undefined;
    });
    return writing;
  };
  let later: NodeJS.Timeout | undefined;
  let inWindow = false;
  const save = async (wait: boolean): Promise<void> => {
    if (wait) {
      clearTimeout(later);
      later = undefined;
      inWindow = false;
      return store();
    }
    const unwritten = (error: unknown): void => log.warn(`the journal could not be written: ${messageOf(error)}`);
    // The first write is under way meanwhile; it also finds out whether somebody has asked for the end.
    if (!inWindow) {
      inWindow = true;
      store().catch(unwritten);
      return;
    }
    // While clients are refused nothing is written that can wait; whoever takes the operation up asks the servers, not the journal.
    later ??= setTimeout(() => {
      later = undefined;
      store().catch(unwritten);
    }, laterMs);
  };
  const set = (name: string, change: Partial<OperationStep>): void => {
    steps = steps.map((step) => (step.name === name ? { ...step, ...change } : step));
  };
  return {
    current: () => ({ ...stored, ...wanted, steps }),
    change: (changes) => {
      wanted = { ...wanted, ...changes };
      if (changes.steps) steps = [...changes.steps];
      return save(true);
    },
    abortRequested: () => abort,
    settled: async () => {
      if (later) await save(true).catch(() => {});
      await writing?.catch(() => {});
    },
    began: (step, wait) => {
      set(step, { state: "running", started_at: now().toISOString() });
      return save(wait);
    },
    done: (step, durationMs, detail, wait) => {
      set(step, {
        state: "done",
        duration_ms: Math.round(durationMs * 10) / 10,
        ...(detail === undefined ? {} : { detail }),
      });
      return save(wait);
    },
    failed: (step, because) => {
      set(step, { state: "failed", detail: because });
      return save(true).catch((error: unknown) => log.warn(`the journal could not be written: ${messageOf(error)}`));
    },
    undone: (step) => {
      set(step, { state: "undone" });
      return save(true).catch((error: unknown) => log.warn(`the journal could not be written: ${messageOf(error)}`));
    },
  };
};
