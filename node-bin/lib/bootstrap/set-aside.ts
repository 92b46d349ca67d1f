import { Failure } from "#contract/failure-reasons.ts";
import { units } from "#contract/names.ts";
import { bytesBelow } from "../backup/disk.ts";
import { humanBytes } from "../backup/progress.ts";
import type { BootstrapContext } from "./context.ts";

/** Stops mysqld and moves the data directory away, so that the next decision sees none. It is never removed: it may be the only copy. */
export const setAside = async (context: BootstrapContext, because: string): Promise<void> => {
  await context.step(`setting the data directory aside: ${because}`);
  // Not by a shutdown alone: that would switch semi-sync off and tell clients whose commits wait that all is well.
  await context.services.kill(units.mysql, "SIGKILL").catch(() => {});
  await context.services.stop(units.mysql);
  const name = await context.data.setAside(context.now());
  const size = await bytesBelow(name).then(humanBytes, () => "an unknown size");
  context.log.warn(
    `the data directory, ${size}, was moved to ${name}, because ${because}; nothing removes it but a person who has looked at it`,
  );
};

/** A full disk's failure, with the data directories that were set aside named; any other error as it is. */
export const namingSetAside = async ({ data }: Pick<BootstrapContext, "data">, error: unknown): Promise<unknown> => {
  if (!(error instanceof Failure) || error.reason !== "disk-full") return error;
  const folders = await data.setAsideBefore();
  if (folders.length === 0) return error;
  return new Failure("disk-full", {
    message: error.message,
    changed: error.changed,
    next: `Make room or enlarge the volume. These data directories were set aside and are never removed by themselves; look at them, then move them away: ${folders.join(", ")}. Running it again is safe.`,
    cause: error,
  });
};
