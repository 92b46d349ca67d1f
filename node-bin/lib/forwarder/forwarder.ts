import * as v from "valibot";
import { PrivateIp } from "#contract/names.ts";
import { pause } from "../host/wait.ts";
import { cutCommands, type Desired, forwarderChanges } from "./changes.ts";
import { expectDone, runtimeSocket } from "./runtime-socket.ts";
import { parseSlots, type Slot } from "./slots.ts";

/** This node's HAProxy. */
export interface Forwarder {
  /**
   * Has connections go where they should. Calls are executed in their order; one that changes nothing is one question to HAProxy, so it
   * may be called often. It resolves when all is done. That is some milliseconds, and `waitingTurnMs` more when sessions
   * are to be cut of a server that took new connections until now; the new primary has its connections before that wait. Errors:
   * `internal`, `timed-out`; nothing is taken for done then, and the next call does it.
   */
  apply(desired: Desired): Promise<void>;
  /** HAProxy's slots. Errors: `internal`, `timed-out`. */
  seen(): Promise<Slot[]>;
}

/** More than twice `timeout connect` of HAProxy's configuration: by then a waiting connection has chosen a server anew, milliseconds. */
export const waitingTurnMs = 40;

const usualTimeoutMs = 1000;

/** The same as in `Desired`, which becomes part of commands. */
const Addresses = v.array(PrivateIp);

/** Speaks to the HAProxy behind this runtime socket, with `timeoutMs` for each line of commands. */
export const makeForwarder = (options: { readonly socket: string; readonly timeoutMs?: number }): Forwarder => {
  const ask = runtimeSocket(options.socket, options.timeoutMs ?? usualTimeoutMs);
  /** What HAProxy was told last; undefined when it was told nothing yet. */
  let told: Desired | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const seen = async (): Promise<Slot[]> => parseSlots(await ask(["show servers state"]));
  const order = async (commands: readonly string[]): Promise<void> => {
    if (commands.length > 0) expectDone(commands, await ask(commands));
  };
  const change = async (desired: Desired): Promise<readonly string[]> => {
    const isNews = told === undefined || told.primary !== desired.primary;
    const { now, cutLater } = forwarderChanges(desired, await seen(), isNews);
    await order(now);
    told = desired;
    return cutLater;
  };

  return {
    seen,
    apply: async (desired) => {
      const { nodes, primary, cut } = desired;
      v.parse(Addresses, [...nodes.map(({ address }) => address), ...(primary === undefined ? [] : [primary]), ...cut]);
      const changed = last.then(() => change(desired));
      last = changed.catch(() => {});
      const cutLater = await changed;
      if (cutLater.length === 0) return;
      await pause(waitingTurnMs);
      // An undo may have come meanwhile.
      const still = cutLater.filter((address) => address !== told?.primary);
      await order(cutCommands(await seen(), still));
    },
  };
};
