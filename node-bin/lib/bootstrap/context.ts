import type { Credentials } from "#contract/credentials.ts";
import type { NodeConfig } from "#contract/node-config.ts";
import type { AgentClient } from "../agent-client/client.ts";
import type { AutoScaling } from "../aws/autoscaling.ts";
import type { NodeIdentity } from "../aws/metadata.ts";
import type { Bucket } from "../aws/s3.ts";
import type { Catalog } from "../backup/catalog.ts";
import type { BackupEngine } from "../backup/engine.ts";
import type { Lease } from "../coordination/lease.ts";
import type { Topology } from "../coordination/topology.ts";
import type { HighestFence } from "../host/highest-fence.ts";
import type { Log } from "../host/log.ts";
import type { Run } from "../host/run.ts";
import type { Services } from "../host/services.ts";
import type { MysqlServer } from "../mysql/server.ts";
import type { DataDirectories } from "./data-directory.ts";
import type { PrimaryWatch } from "./primary-watch.ts";

/** Everything that a bootstrap acts through. */
export interface BootstrapContext {
  readonly config: NodeConfig;
  readonly identity: NodeIdentity;
  readonly flags: { readonly initialiseEmpty: boolean; readonly adopt: boolean };
  readonly log: Log;
  readonly run: Run;
  readonly services: Services;
  readonly data: DataDirectories;
  readonly topology: Topology;
  /** `lock-{cluster_id}`. */
  readonly election: Lease;
  readonly primaryWatch: PrimaryWatch;
  readonly highestFence: HighestFence;
  readonly bucket: Bucket;
  readonly catalog: Catalog;
  readonly engine: BackupEngine;
  readonly mysql: MysqlServer;
  readonly agents: AgentClient;
  readonly autoScaling: AutoScaling;
  readonly credentials: () => Promise<Credentials>;
  /** Gives this node another server id, which mysqld has from its next start on. */
  readonly renewServerId: () => Promise<number>;
  /** Tells the agent and the log what is being done. */
  readonly step: (what: string) => Promise<void>;
  /** Tells the agent that replication is its business from now on. */
  readonly joined: () => Promise<void>;
  /** Wall clock, for names and people only. */
  readonly now: () => Date;
  readonly signal: AbortSignal;
}
