import type { Clock } from "#actions/lib/clock.ts";

/** A clock that moves only when somebody sleeps. */
export const fakeClock = (): Clock & { readonly slept: number[] } => {
  let now = 0;
  const slept: number[] = [];
  return {
    slept,
    now: () => now,
    sleep: async (milliseconds, signal) => {
      signal?.throwIfAborted();
      slept.push(milliseconds);
      now += milliseconds;
    },
  };
};
