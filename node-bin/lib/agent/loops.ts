import { describeFailure } from "#contract/failure-reasons.ts";
import { monotonicMs, pause } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";

/** One of the agent's loops. */
export interface Loop {
  readonly name: string;
  /** Milliseconds between two rounds. */
  readonly everyMs: number | (() => number);
  /** One round. What it throws is shown as a problem until a round succeeds; the loop goes on. */
  round(): Promise<void>;
  /** When this text changes, the next round begins at once. It is looked at when something happened, and a few times a second. */
  readonly wakeOn?: () => string;
  /** The next round begins at once when something happened, whatever it was. */
  readonly wakes?: boolean;
}

/** How often a waiting loop looks whether it should wake, milliseconds. */
const wakeCheckMs = 250;

/** How often a loop that waits for long shows that it is not hanging, milliseconds. */
const showAliveMs = 5000;

/** Runs a loop until the agent ends. */
export const runLoop = async (context: AgentContext, loop: Loop): Promise<void> => {
  const { log, signal, state, waker } = context;
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
    const until = monotonicMs() + everyMs;
    while (!signal.aborted && monotonicMs() < until && (!loop.wakeOn || loop.wakeOn() === key)) {
      state.loops.set(loop.name, monotonicMs());
      if (loop.wakes) {
        await waker.wait(everyMs, signal);
        break;
      }
      if (loop.wakeOn) await waker.wait(Math.min(wakeCheckMs, everyMs), signal);
      else await pause(Math.min(showAliveMs, until - monotonicMs()), signal);
    }
  }
};
