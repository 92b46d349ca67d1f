import { randomUUID } from "node:crypto";
import { leaseTimings } from "#contract/lease.ts";
import { itemKey } from "#contract/table.ts";
import { type Aws, makeAws } from "#node/lib/aws/clients.ts";
import { makeTable, type Table } from "#node/lib/aws/table.ts";
import { type Lease, type LeaseTimings, makeLease } from "#node/lib/coordination/lease.ts";
import { makeTopology, type Topology, type TopologyContent } from "#node/lib/coordination/topology.ts";
import { monotonicMs, pause } from "#node/lib/host/wait.ts";

export const clusterId = "demo";

/** What works on a table as one node: its connections come from the node's own address. */
export interface Node {
  readonly aws: Aws;
  readonly address: string;
  readonly instanceId: string;
  readonly table: Table;
  /** The election lease of this node on its table, unless something else is named. */
  lease(options?: {
    readonly pk?: string;
    readonly owner?: string;
    readonly table?: Table;
    readonly timings?: LeaseTimings;
    readonly now?: () => number;
    readonly wallClock?: () => Date;
  }): Lease;
  readonly topology: Topology;
}

/** The n-th node on a table. */
export const makeNode = (n: number, tableName: string): Node => {
  const address = `127.0.11.${n}`;
  const instanceId = `i-${String(n).padStart(8, "0")}`;
  const aws = makeAws({ region: "us-east-1", sourceAddress: address });
  const table = makeTable(aws, tableName);
  return {
    address,
    instanceId,
    aws,
    table,
    lease: (options = {}) =>
      makeLease({
        table,
        pk: itemKey.lock("election", clusterId),
        owner: instanceId,
        timings: leaseTimings.short,
        purpose: `test of ${instanceId}`,
        now: monotonicMs,
        wallClock: () => new Date(),
        uuid: randomUUID,
        sleep: pause,
        ...options,
      }),
    topology: makeTopology({ table, clusterId, uuid: randomUUID, now: () => new Date() }),
  };
};

/** A record under which the n-th node is primary. */
export const recordOf = (n: number, fence: number): TopologyContent => ({
  kind: "async",
  phase: "serving",
  instance_id: `i-${String(n).padStart(8, "0")}`,
  private_ip: `127.0.11.${n}`,
  server_uuid: "00000000-0000-0000-0000-000000000001",
  fence,
  formation: 1,
  timeline: 1,
  branch_gtid_set: "",
  ackers: [],
  wait_count: 1,
  reason: "test",
});
