import { Failure } from "#contract/failure-reasons.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { takeFullBackup } from "../backup/take-full-backup.ts";
import { waitFor } from "../host/wait.ts";
import type { BootstrapContext } from "./context.ts";
import { startMysql, takeOverFormation } from "./form.ts";

/** How often the record is looked at while the agents do their part, milliseconds. */
const lookEveryMs = 500;

const stillLeads = async (context: BootstrapContext, formation: number): Promise<TopologyRecord> => {
  const record = await context.topology.read();
  if (record?.instance_id === context.identity.instanceId && record.formation === formation) return record;
  throw new Failure("superseded", {
    message: `${record?.instance_id ?? "Nobody"} is recorded as primary now, formation ${record?.formation ?? "none"}; this node formed ${formation}.`,
  });
};

/**
 * The recorded primary's part: its mysqld runs, and while the cluster forms its first backup becomes durable. Opening,
 * ackers and the change to `serving` are the agent's. Answers when the cluster serves.
 */
export const leadCluster = async (
  context: BootstrapContext,
  record: TopologyRecord,
  serverId: number,
): Promise<void> => {
  const { bucket, catalog, config, engine, identity, log } = context;
  const observed = await startMysql(context);
  if (observed.server_uuid !== record.server_uuid) {
    if (record.phase === "serving") {
      throw new Failure("superseded", {
        message: `The record names this node with server uuid ${record.server_uuid}, and its mysqld has ${observed.server_uuid}; another node must be promoted first.`,
      });
    }
    return takeOverFormation(context, "own", record, serverId);
  }
  if (record.phase === "forming" && !(await catalog.newestFull({ formation: record.formation }))) {
    await context.step("taking the first full backup");
    // Only the recorded primary takes it, so the record guards it; the backup lock of a killed winner would cost 30 s.
    const manifest = await takeFullBackup({
      bucket,
      engine,
      clusterId: config.cluster_id,
      instanceId: identity.instanceId,
      timeline: record.timeline,
      formation: record.formation,
      assertStillHolding: async () => void (await stillLeads(context, record.formation)),
      progress: (line) => log.info(line),
      now: context.now,
      signal: context.signal,
    });
    log.info(`the first full backup, ${manifest.time}, is durable`);
  }
  await context.step("waiting until enough ackers are listed and the cluster serves");
  await waitFor(
    "the cluster to serve",
    async () => {
      const now = await stillLeads(context, record.formation);
      return now.phase === "serving" ? now : undefined;
    },
    { everyMs: lookEveryMs, deadlineMs: Number.POSITIVE_INFINITY, signal: context.signal },
  );
};
