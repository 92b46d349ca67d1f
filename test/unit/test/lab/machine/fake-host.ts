import type { ControlGroup, Ended } from "#lab/machine/service.ts";
import type { SystemdHost } from "#lab/machine/systemd.ts";
import type { Timers } from "#lab/machine/timers.ts";
import type { UnitDefinition } from "#lab/machine/unit.ts";

/** One run of a unit without a process. */
export interface FakeRun {
  readonly unit: UnitDefinition;
  readonly pid: number;
  readonly signals: NodeJS.Signals[];
  /** Members besides the main process. */
  children: number;
  /** Signals that end the whole run at once. */
  obeys: NodeJS.Signals[];
  end(end: Partial<Ended>): Promise<void>;
}

/** A machine without processes and with a clock that only the test moves. */
export function fakeHost() {
  const runs: FakeRun[] = [];
  const notes: string[] = [];
  let now = 0;
  let pending: { at: number; fire: () => void }[] = [];
  let invocations = 0;

  const timers: Timers = {
    after: (milliseconds, fire) => {
      const timer = { at: now + milliseconds, fire };
      if (Number.isFinite(milliseconds)) pending.push(timer);
      return () => {
        pending = pending.filter((other) => other !== timer);
      };
    },
  };

  const launch = (unit: UnitDefinition): ControlGroup => {
    const ended = Promise.withResolvers<Ended>();
    let alive = true;
    const run: FakeRun = {
      unit,
      pid: 1000 + runs.length,
      signals: [],
      children: 0,
      obeys: ["SIGTERM", "SIGKILL"],
      end: async (end) => {
        alive = false;
        ended.resolve({ code: null, signal: null, ...end });
        await settle();
      },
    };
    runs.push(run);
    return {
      pid: run.pid,
      ended: ended.promise,
      members: () => [...(alive ? [run.pid] : []), ...Array.from({ length: run.children }, (_, n) => 2000 + n)],
      signal: (signal) => {
        run.signals.push(signal);
        if (!run.obeys.includes(signal)) return;
        run.children = 0;
        alive = false;
        ended.resolve({ code: null, signal });
      },
    };
  };

  const host: SystemdHost = {
    timers,
    launch,
    newInvocation: () => `invocation${++invocations}`,
    note: (unit, line) => {
      notes.push(`${unit}: ${line}`);
    },
  };

  /** Moves the clock, firing what is due in its order. */
  const pass = async (milliseconds: number): Promise<void> => {
    const until = now + milliseconds;
    await settle();
    for (;;) {
      const next = pending.filter(({ at }) => at <= until).sort((one, other) => one.at - other.at)[0];
      if (next === undefined) break;
      pending = pending.filter((timer) => timer !== next);
      now = next.at;
      next.fire();
      await settle();
    }
    now = until;
  };

  return { host, runs, notes, pass, last: (): FakeRun => runs.at(-1) as FakeRun };
}

/** Lets everything that waits for a settled promise go on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}
