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

/**
 * The file, in the node's state folder, of each of the two processes that raise it: each writes its own and reads both, so that
 * neither overwrites what the other has seen meanwhile.
 */
export const highestFenceFiles = { agent: "highest-fence.json", bootstrap: "highest-fence.bootstrap.json" } as const;

const read = async (path: string): Promise<number> => {
  const text = await readIfThere(path);
  return text === undefined ? 0 : v.parse(HighestFence, JSON.parse(text)).fence;
};

/**
 * Opens the file that this process writes; what the other files say counts too. A missing one means that no fence was seen. Errors:
 * an unreadable file is an error, not a zero.
 */
export const openHighestFence = async (path: string, others: readonly string[] = []): Promise<HighestFence> => {
  let fence = Math.max(...(await Promise.all([path, ...others].map(read))));
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
