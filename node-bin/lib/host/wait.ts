import { setTimeout as delay } from "node:timers/promises";
import { Failure } from "#contract/failure-reasons.ts";

/** Milliseconds that only grow, whatever happens to the wall clock. */
export const monotonicMs = (): number => performance.now();

/** Waits, and ends early without an error when `signal` is aborted. */
export const pause = async (ms: number, signal?: AbortSignal): Promise<void> => {
  await delay(Math.max(0, ms), undefined, signal ? { signal } : {}).catch(() => {});
};

/** What a wait looks at each time. */
export type Look<T> = () => Promise<T | undefined>;

/**
 * Looks again and again until `look` gives something. Errors: `timed-out`, which says what was waited for and what was
 * seen last; whatever `look` throws.
 */
export const waitFor = async <T>(
  what: string,
  look: Look<T>,
  options: {
    readonly everyMs: number;
    readonly deadlineMs: number;
    readonly lastSeen?: () => string;
    readonly signal?: AbortSignal;
  },
): Promise<T> => {
  const began = monotonicMs();
  for (;;) {
    options.signal?.throwIfAborted();
    const found = await look();
    if (found !== undefined) return found;
    if (monotonicMs() - began > options.deadlineMs) {
      const seen = options.lastSeen?.();
      throw new Failure("timed-out", {
        message: `Waited ${Math.round(options.deadlineMs / 1000)} s for ${what}${seen ? `; last seen: ${seen}` : ""}.`,
      });
    }
    await pause(options.everyMs, options.signal);
  }
};
