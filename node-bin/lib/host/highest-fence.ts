import * as v from "valibot";
import { Fence } from "#contract/names.ts";
import { readIfThere, writeDurably } from "./files.ts";

const HighestFence = v.object({ fence: Fence });

/** The highest fence that this node has seen, kept on disk so that a restart does not forget it. */
export interface HighestFence {
  current(): number;
  /** Raises it, durably, before whatever the fence allows is done. A lower one changes nothing. */
  raise(fence: number): Promise<void>;
}

/** Opens the file; a missing one means that no fence was seen. Errors: an unreadable file is an error, not a zero. */
export const openHighestFence = async (path: string): Promise<HighestFence> => {
  const text = await readIfThere(path);
  let fence = text === undefined ? 0 : v.parse(HighestFence, JSON.parse(text)).fence;
  let last: Promise<void> = Promise.resolve();
  const raise = async (seen: number): Promise<void> => {
    if (seen <= fence) return;
    await writeDurably(path, `${JSON.stringify({ fence: seen })}\n`);
    fence = seen;
  };
  return {
    current: () => fence,
    // One after another, so that a lower one never overwrites a higher one.
    raise: (seen) => {
      const mine = last.then(() => raise(seen));
      last = mine.catch(() => {});
      return mine;
    },
  };
};
