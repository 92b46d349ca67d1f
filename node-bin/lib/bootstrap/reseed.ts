import { dirname } from "node:path";
import type { NodeStatus } from "#contract/agent-api.ts";
import type { BackupManifest } from "#contract/backup-manifest.ts";
import { Failure, type FailureReason } from "#contract/failure-reasons.ts";
import * as gtid from "#contract/gtid.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { demandRoom } from "../backup/disk.ts";
import { findMysqlbinlog, makeBinlogText } from "../mysql/errant-sql.ts";
import type { MysqlObservation } from "../mysql/server.ts";
import type { BootstrapContext } from "./context.ts";
import { saveErrant } from "./save-errant.ts";
import { namingSetAside } from "./set-aside.ts";

/** What a node that is to be reseeded was found to be. */
export interface ErrantNode {
  readonly record: TopologyRecord;
  /** Seen after `observed`. */
  readonly primary: NodeStatus;
  readonly observed: MysqlObservation;
  /** What this node has executed and the primary has not. */
  readonly errant: string;
  /** What this node has received, cannot execute, and the primary has not. */
  readonly notExecuted: string;
}

/**
 * The backup, when a node that is restored from it can join this primary. It is asked before anything is set aside, so that a node is not
 * restored to the same state again and again. Errors: `no-backup`, `errant-transactions`, `binlogs-purged`.
 */
export const demandUsable = (
  backup: BackupManifest | undefined,
  { record, primary, errant }: Pick<ErrantNode, "record" | "primary" | "errant">,
): BackupManifest => {
  const unusable = (reason: FailureReason, why: string): Failure =>
    new Failure(reason, {
      message: `This node has ${errant}, which the primary ${record.instance_id} does not have, and ${why}.`,
      changed: "The node is out of the target groups; its data were left as they are.",
      next: "Take a new full backup on a node that serves; this node's transactions are then saved, and it is restored by itself.",
    });
  if (!backup) throw unusable("no-backup", "there is no full backup to restore it from");
  const newest = `the newest full backup, ${backup.time},`;
  const theirs = primary.mysql.gtid_executed ?? "";
  const broughtBack = gtid.ofOthers(gtid.subtract(backup.gtid_set, theirs), record.server_uuid);
  if (!gtid.isEmpty(broughtBack))
    throw unusable("errant-transactions", `${newest} has ${broughtBack}, which the primary does not have either`);
  const purged = gtid.subtract(primary.mysql.gtid_purged ?? "", backup.gtid_set);
  if (!gtid.isEmpty(purged))
    throw unusable("binlogs-purged", `${newest} lacks ${purged}, which the primary has purged from its binlogs`);
  return backup;
};

/**
 * Saves the node's own transactions to the bucket, and answers in words for people why and for what the data may be set aside now. Errors:
 * `no-backup`, `binlogs-purged`, `disk-full`, `errant-transactions`; nothing of the node was changed then, and a replication that runs goes on.
 */
export const saveBeforeReseed = async (context: BootstrapContext, node: ErrantNode): Promise<string> => {
  const { bucket, catalog, config, identity, log, mysql, now, run, signal } = context;
  const { errant, notExecuted, observed, primary, record } = node;
  const backup = demandUsable(await catalog.newestFull({ formation: record.formation }), node);
  // A node that cannot be restored is better as it is: while it replicates it still holds what it receives.
  await demandRoom(dirname(config.mysql.datadir), backup.data_bytes, `Restoring backup ${backup.time}`).catch(
    async (error: unknown) => {
      throw await namingSetAside(context, error);
    },
  );
  const { binlog_index: indexFile } = await mysql.serverFacts();
  if (indexFile === undefined) throw new Failure("internal", { message: "mysqld writes no binlog; log_bin is off." });
  await context.step(`saving this node's own transactions ${errant} to the bucket ${bucket.name}`);
  const { recordKey, record: saved } = await saveErrant({
    bucket,
    binlogs: makeBinlogText({
      program: await findMysqlbinlog(config.mysql.mysqld),
      indexFile,
      run,
      rotate: mysql.flushBinaryLogs,
    }),
    cluster_id: config.cluster_id,
    instance_id: identity.instanceId,
    private_ip: identity.privateIp,
    server_uuid: observed.server_uuid,
    gtid_set: errant,
    ...(gtid.isEmpty(notExecuted) ? {} : { not_executed: notExecuted }),
    purged: observed.gtid_purged,
    primary: {
      instance_id: record.instance_id,
      server_uuid: record.server_uuid,
      fence: record.fence,
      timeline: record.timeline,
      gtid_executed: primary.mysql.gtid_executed ?? "",
    },
    now,
    signal,
  });
  const where = saved.sql ? `saved as ${saved.sql.key}` : "not in its binlogs any more";
  log.warn(
    `this node has ${errant}, which the primary ${record.instance_id} does not have: ${where}, described in ${recordKey}`,
  );
  return `it has ${errant}, which the primary ${record.instance_id} does not have (${where})`;
};
