import { describeFailure } from "#contract/failure-reasons.ts";
import { monotonicMs, pause } from "../host/wait.ts";
import { nextBeat } from "./beat.ts";
import type { AgentContext } from "./context.ts";

/** One of the agent's loops. */
export interface Loop {
  readonly name: string;
  /** Milliseconds between two rounds, at most: rounds of all loops are at multiples of their intervals. */
  readonly everyMs: number | (() => number);
  /** It only looks. Its round comes first, so that those that decide know what it saw. */
  readonly looks?: boolean;
  /** One round. What it throws is shown as a problem until a round succeeds; the loop goes on. */
  round(): Promise<void>;
  /** When this text changes, the next round begins at once. It is looked at when something happened, and a few times a second. */
  readonly wakeOn?: () => string;
  /** The next round begins at once when something happened, whatever it was. */
  readonly wakes?: boolean;
}

/** How long the loops that look have before the others decide, milliseconds. */
const lookMs = 40;

/** How often a waiting loop looks whether it should wake, milliseconds. */
const wakeCheckMs = 250;

/** How often a loop that waits for long shows that it is not hanging, milliseconds. */
const showAliveMs = 5000;

/** For a timer that fires at this time or after it: they count whole milliseconds, and so may fire up to one early. */
const timerMs = (until: number): number => Math.ceil(until - monotonicMs()) + 1;

/** Runs a loop until the agent ends. */
export const runLoop = async (context: AgentContext, loop: Loop): Promise<void> => {
  const { log, signal, state, waker } = context;
  const afterMs = loop.looks ? 0 : lookMs;
  while (!signal.aborted) {
    const key = loop.wakeOn?.();
    state.loops.set(loop.name, monotonicMs());
    try {
      await loop.round();
      if (state.problems.delete(loop.name)) log.info(`${loop.name}: works again`);
    } catch (error) {
      if (signal.aborted) return;
      const text = describeFailure(error);
      if (state.problems.get(loop.name) !== text) log.warn(`${loop.name}: ${text}`);
      state.problems.set(loop.name, text);
    }
    const everyMs = typeof loop.everyMs === "number" ? loop.everyMs : loop.everyMs();
    const until = nextBeat(monotonicMs(), everyMs, afterMs);
    while (!signal.aborted && monotonicMs() < until && (!loop.wakeOn || loop.wakeOn() === key)) {
      state.loops.set(loop.name, monotonicMs());
      if (loop.wakes) {
        await waker.wait(timerMs(until), signal);
        break;
      }
      const checkAt = nextBeat(monotonicMs(), loop.wakeOn ? wakeCheckMs : showAliveMs, afterMs);
      const ms = timerMs(Math.min(checkAt, until));
      if (loop.wakeOn) await waker.wait(ms, signal);
      else await pause(ms, signal);
    }
  }
};
