/** Lets loops wait for a time, or for something to happen. */
export interface Waker {
  /** Ends all waits under way. */
  wake(): void;
  /** Waits for so many milliseconds, or until `wake`, or until the signal is aborted. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

/** A waker of one process. */
export const makeWaker = (): Waker => {
  const waiting = new Set<() => void>();
  return {
    wake: () => {
      for (const end of [...waiting]) end();
    },
    wait: (ms, signal) =>
      new Promise((resolve) => {
        const end = (): void => {
          clearTimeout(timer);
          waiting.delete(end);
          signal.removeEventListener("abort", end);
          resolve();
        };
        const timer = setTimeout(end, Math.max(0, ms));
        waiting.add(end);
        signal.addEventListener("abort", end);
        if (signal.aborted) end();
      }),
  };
};
