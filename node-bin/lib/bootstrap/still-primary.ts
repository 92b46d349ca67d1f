import { join } from "node:path";
import { Failure } from "#contract/failure-reasons.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { highestFenceFiles, openHighestFence } from "../host/highest-fence.ts";
import { waitFor } from "../host/wait.ts";
import type { BootstrapContext } from "./context.ts";

/** How often the record is read while this node is frozen, milliseconds. */
const lookEveryMs = 500;

/**
 * The record, while it names this primary. Errors: `superseded` when it names another, or when this one stopped renewing its
 * lease while it formed the cluster: then one of those who wait for it has to take over.
 */
export const stillPrimary = async (
  context: Pick<BootstrapContext, "primaryWatch" | "topology">,
  record: TopologyRecord,
): Promise<TopologyRecord> => {
  const now = await context.topology.read();
  if (now?.instance_id !== record.instance_id) {
    throw new Failure("superseded", {
      message: `The primary changed to ${now?.instance_id ?? "nobody"} while this node was joining.`,
    });
  }
  if (now.phase === "forming" && (await context.primaryWatch.look(now)) === "stale") {
    throw new Failure("superseded", {
      message: `${now.instance_id} stopped renewing its lease while it formed the cluster.`,
    });
  }
  return now;
};

/**
 * The highest fence that this node has seen. Its agent, another process, is the one that is asked to freeze, and may have written a
 * higher one since this process began.
 */
const highestSeen = async ({ config, highestFence }: FreezeContext): Promise<number> => {
  const onDisk = await openHighestFence(join(config.state_dir, highestFenceFiles.agent));
  return Math.max(onDisk.current(), highestFence.current());
};

type FreezeContext = Pick<
  BootstrapContext,
  "config" | "highestFence" | "primaryWatch" | "signal" | "step" | "topology"
>;

/**
 * Waits while this node is frozen, which never ends by time: it has seen a higher fence than the recorded one, so somebody may be counting
 * what it holds, to promote it or another. Until a fence at least as high is recorded it receives nothing and keeps what it has. Errors: `superseded`, as `stillPrimary`.
 */
export const untilNotFrozen = async (context: FreezeContext, record: TopologyRecord): Promise<TopologyRecord> => {
  let told = 0;
  return waitFor(
    "a recorded fence as high as the one that this node was frozen under",
    async () => {
      const now = await stillPrimary(context, record);
      const seen = await highestSeen(context);
      if (now.fence >= seen) return now;
      if (told !== seen) {
        told = seen;
        await context.step(`frozen: this node has seen fence ${seen}, and the record has ${now.fence}`);
      }
      return undefined;
    },
    { everyMs: lookEveryMs, deadlineMs: Number.POSITIVE_INFINITY, signal: context.signal },
  );
};
