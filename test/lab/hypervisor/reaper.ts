import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { SessionRegistry } from "../machine/process-group.ts";

/** The variable that marks every process of a lab's machines: `RUN/INSTANCE`. */
export const ownerVariable = "PERCONA_LAB_OWNER";

/** A process that ends everything of the lab when this process is gone, however that came about. */
export interface Reaper {
  readonly sessions: SessionRegistry;
  /** From now on the table of cuts goes too; `nft` is the program that removes it. */
  cutsWith(nft: string): void;
  /** Process id, for tests. */
  readonly pid: number;
  /** Says farewell: the reaper ends and touches nothing. */
  dismiss(): Promise<void>;
}

/**
 * Starts the reaper.
 *
 * @param run marks this lab's processes; letters, digits and `_` only.
 * @param directories are removed when this process dies without a farewell.
 */
export function startReaper(run: string, directories: readonly string[]): Reaper {
  const script = fileURLToPath(new URL("reaper.sh", import.meta.url));
  const child = spawn("/bin/sh", [script, run, ...directories], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const ended = once(child, "exit");
  child.unref();
  // A reaper that somebody killed: the lab goes on without that safety.
  child.stdin.on("error", () => {});
  const tell = (line: string): void => {
    child.stdin.write(`${line}\n`);
  };
  return {
    pid: child.pid ?? 0,
    sessions: { add: (session) => tell(`+${session}`), remove: (session) => tell(`-${session}`) },
    cutsWith: (nft) => tell(`cuts ${nft}`),
    dismiss: async () => {
      child.stdin.end("done\n");
      if (child.exitCode === null && child.signalCode === null) {
        child.ref();
        await ended;
      }
    },
  };
}
