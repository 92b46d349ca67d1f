import type { BackupManifest } from "#contract/backup-manifest.ts";
import { Failure } from "#contract/failure-reasons.ts";
import type { NodeConfig } from "#contract/node-config.ts";
import type { NodeIdentity } from "../aws/metadata.ts";
import type { Bucket } from "../aws/s3.ts";
import type { Lease } from "../coordination/lease.ts";
import type { Topology } from "../coordination/topology.ts";
import type { Log } from "../host/log.ts";
import type { BackupEngine } from "./engine.ts";
import { takeFullBackup } from "./take-full-backup.ts";

/**
 * Takes a full backup of this node under the backup lock, which is renewed for as long as it takes and checked before each
 * side effect. Errors: `lock-held` when another node takes one; those of the backup itself.
 */
export const backupThisNode = async (options: {
  readonly config: NodeConfig;
  readonly identity: NodeIdentity;
  readonly bucket: Bucket;
  readonly engine: BackupEngine;
  readonly topology: Topology;
  readonly lock: Lease;
  readonly log: Log;
  readonly now: () => Date;
  readonly signal: AbortSignal;
}): Promise<BackupManifest> => {
  const { config, identity, lock, log, topology } = options;
  const record = await topology.read();
  if (!record) {
    throw new Failure("no-backup", {
      message: `Cluster ${config.cluster_id} has no topology record, so there is nothing to back up.`,
      next: "Wait until the cluster is formed. Running it again is safe.",
    });
  }
  const grant = await lock.acquire({ deadlineMs: 60_000, signal: options.signal });
  grant.startRenewing();
  try {
    return await takeFullBackup({
      bucket: options.bucket,
      engine: options.engine,
      clusterId: config.cluster_id,
      instanceId: identity.instanceId,
      timeline: record.timeline,
      formation: record.formation,
      assertStillHolding: async () => grant.assertHeld(),
      progress: (line) => log.info(line),
      now: options.now,
      signal: AbortSignal.any([options.signal, grant.signal]),
    });
  } finally {
    await grant.release("the backup ended").catch(() => {});
  }
};
