/** Timers that can all be halted together, as a stopped machine's are. */
export interface Timers {
  /** Calls back once after so many milliseconds; never for an infinite time. Returns a function that cancels. */
  after(milliseconds: number, callback: () => void): () => void;
}

/** A machine's timers. */
export interface MachineTimers extends Timers {
  /** Halts all timers; what was left of each is kept. */
  halt(): void;
  /** Lets them run on. */
  go(): void;
  /** Cancels all for ever. */
  cancelAll(): void;
}

interface Timer {
  left: number;
  since: number;
  handle: NodeJS.Timeout | undefined;
  readonly fire: () => void;
}

/** Timers on this process's monotonic clock. */
export function machineTimers(now: () => number = () => performance.now()): MachineTimers {
  const timers = new Set<Timer>();
  let halted = false;

  const arm = (timer: Timer): void => {
    timer.since = now();
    timer.handle = setTimeout(timer.fire, timer.left);
  };

  return {
    after: (milliseconds, callback) => {
      if (milliseconds === Number.POSITIVE_INFINITY) return () => {};
      const timer: Timer = {
        left: milliseconds,
        since: now(),
        handle: undefined,
        fire: () => {
          timers.delete(timer);
          callback();
        },
      };
      timers.add(timer);
      if (!halted) arm(timer);
      return () => {
        timers.delete(timer);
        clearTimeout(timer.handle);
      };
    },
    halt: () => {
      if (halted) return;
      halted = true;
      for (const timer of timers) {
        clearTimeout(timer.handle);
        timer.left = Math.max(0, timer.left - (now() - timer.since));
      }
    },
    go: () => {
      if (!halted) return;
      halted = false;
      for (const timer of timers) arm(timer);
    },
    cancelAll: () => {
      for (const timer of timers) clearTimeout(timer.handle);
      timers.clear();
    },
  };
}
