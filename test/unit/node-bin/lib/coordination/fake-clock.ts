/** Time that only a test moves. */
export interface FakeClock {
  now(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Lets `ms` pass: wakes sleepers in order, each with everything that follows from it before the next. */
  advance(ms: number): Promise<void>;
}

/** Long enough for every chain of promises in these tests to come to rest. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export const fakeClock = (): FakeClock => {
  let time = 0;
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();
  return {
    now: () => time,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (ms <= 0 || signal?.aborted) return resolve();
        const sleeper = {
          at: time + ms,
          wake: () => {
            sleepers.delete(sleeper);
            signal?.removeEventListener("abort", sleeper.wake);
            resolve();
          },
        };
        signal?.addEventListener("abort", sleeper.wake);
        sleepers.add(sleeper);
      }),
    advance: async (ms) => {
      const end = time + ms;
      for (;;) {
        await settle();
        const next = [...sleepers].sort((a, b) => a.at - b.at)[0];
        if (!next || next.at > end) break;
        time = next.at;
        next.wake();
      }
      time = end;
      await settle();
    },
  };
};
