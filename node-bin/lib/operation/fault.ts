import { rm } from "node:fs/promises";
import { readIfThere } from "../host/files.ts";
import { pause } from "../host/wait.ts";
import { type StopPoint, stopPointName } from "./step.ts";

/** Names a file in which a fault test writes where the operation is to stop, and how. Nothing is looked at without it. */
export const faultFileVariable = "PERCONA_OPERATION_FAULT_FILE";

/** How often a test that holds the operation up is asked whether it may go on, milliseconds. */
const lookAgainMs = 50;

/**
 * For fault tests: the file says `throw after record`, `kill before open`, `stop before demote` (SIGSTOP), or `wait before drain` (until
 * the file is gone). Without the variable it is a function that does nothing.
 */
export const faultInjection = (env: NodeJS.ProcessEnv): ((point: StopPoint) => Promise<void>) => {
  const path = env[faultFileVariable];
  if (path === undefined) return async () => {};
  return async (point) => {
    const [how, ...where] = (await readIfThere(path))?.trim().split(" ") ?? [];
    if (where.join(" ") !== stopPointName(point)) return;
    if (how === "wait") {
      while ((await readIfThere(path)) !== undefined) await pause(lookAgainMs);
      return;
    }
    // Once: whoever takes the operation up passes the same point.
    await rm(path, { force: true });
    switch (how) {
      case "throw":
        throw new Error(`A fault was injected ${stopPointName(point)}.`);
      case "kill":
        process.kill(process.pid, "SIGKILL");
        return;
      case "stop":
        process.kill(process.pid, "SIGSTOP");
        return;
    }
  };
};
