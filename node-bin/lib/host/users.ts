import { Failure } from "#contract/failure-reasons.ts";
import type { Run } from "./run.ts";

/** Numeric ids of a system user. Error: `bad-input` when there is no such user. */
export const userIds = async (run: Run, name: string): Promise<{ readonly uid: number; readonly gid: number }> => {
  const ask = async (option: "-u" | "-g"): Promise<number> => {
    const { exitCode, stdout, stderr } = await run(["id", option, name]);
    const id = Number.parseInt(stdout, 10);
    if (exitCode !== 0 || !Number.isSafeInteger(id)) {
      throw new Failure("bad-input", {
        message: `The system user ${name} of the node's configuration is not known: ${stderr.trim()}.`,
      });
    }
    return id;
  };
  return { uid: await ask("-u"), gid: await ask("-g") };
};
