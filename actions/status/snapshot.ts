import type { NewestBackup } from "#actions/lib/aws/backups.ts";
import type { SeenInstance } from "#actions/lib/aws/instances.ts";
import type { SeenTarget } from "#actions/lib/aws/targets.ts";
import type { NodeStatus } from "#contract/agent-api.ts";
import type { LeaseItem } from "#contract/lease.ts";
import type { OperationRecord } from "#contract/operation.ts";
import type { TopologyRecord } from "#contract/topology.ts";

/** What a node said of itself, or why it said nothing. The times are milliseconds on the runner's monotonic clock. */
export type NodeReading =
  | {
      readonly answered: true;
      readonly status: NodeStatus;
      readonly askedAt: number;
      readonly answeredAt: number;
    }
  | { readonly answered: false; readonly why: string };

/** One node from all sides. */
export interface SeenNode {
  readonly instance: SeenInstance;
  /** In its Auto Scaling group; absent for an instance outside any. */
  readonly lifecycle: string | undefined;
  readonly reading: NodeReading;
}

/** All that was read of one cluster. */
export interface ClusterSnapshot {
  readonly clusterId: string;
  /** ISO time, for people. */
  readonly observedAt: string;
  /** False when the topology record changed each time while the nodes were read. */
  readonly settled: boolean;
  /** From the tag; absent when no instance carries it. */
  readonly configuredNodes: number | undefined;
  /** Sorted by instance id. */
  readonly nodes: readonly SeenNode[];
  readonly record: TopologyRecord | undefined;
  readonly operationLock: LeaseItem | undefined;
  /** Operations that have not ended. */
  readonly operations: readonly OperationRecord[];
  readonly writeTargets: readonly SeenTarget[];
  readonly readTargets: readonly SeenTarget[];
  readonly backup: NewestBackup;
}
