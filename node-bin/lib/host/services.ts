import { Failure } from "#contract/failure-reasons.ts";
import type { Run } from "./run.ts";

/** systemd units of this node. */
export interface Services {
  /** Starts a unit and waits until systemd says that it is active. Errors: `internal` with systemctl's words. */
  start(unit: string): Promise<void>;
  /** Stops a unit and waits until all of its processes are gone. */
  stop(unit: string): Promise<void>;
  /** Asks for a restart without waiting for it: a unit may so restart one that stops it. */
  restartLater(unit: string): Promise<void>;
  /** Sends a signal to the unit's processes. */
  kill(unit: string, signal: NodeJS.Signals): Promise<void>;
}

/** systemctl, found by PATH. */
export const systemdServices = (run: Run): Services => {
  const call = async (argv: readonly [string, ...string[]], timeoutMs: number): Promise<void> => {
    const result = await run(["systemctl", ...argv], { timeoutMs });
    if (result.exitCode !== 0) {
      throw new Failure("internal", {
        message: `systemctl ${argv.join(" ")} ended with ${result.exitCode}: ${result.stderr.trim() || result.stdout.trim()}.`,
      });
    }
  };
  return {
    // mysqld may need a long crash recovery before systemd calls it active.
    start: (unit) => call(["start", unit], 3_600_000),
    stop: (unit) => call(["stop", unit], 900_000),
    restartLater: (unit) => call(["restart", "--no-block", unit], 30_000),
    kill: (unit, signal) => call(["kill", `--signal=${signal}`, unit], 30_000),
  };
};
