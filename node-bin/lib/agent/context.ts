import type { Credentials } from "#contract/credentials.ts";
import type { NodeConfig } from "#contract/node-config.ts";
import type { OperationPlan } from "#contract/operation.ts";
import type { AgentClient } from "../agent-client/client.ts";
import type { AutoScaling } from "../aws/autoscaling.ts";
import type { BatchReader } from "../aws/batch-reader.ts";
import type { Ec2 } from "../aws/ec2.ts";
import type { TargetGroups } from "../aws/elbv2.ts";
import type { Metadata, NodeIdentity } from "../aws/metadata.ts";
import type { Bucket } from "../aws/s3.ts";
import type { Notify } from "../aws/sns.ts";
import type { Table } from "../aws/table.ts";
import type { Catalog } from "../backup/catalog.ts";
import type { Journal } from "../coordination/journal.ts";
import type { Lease } from "../coordination/lease.ts";
import type { Topology } from "../coordination/topology.ts";
import type { Forwarder } from "../forwarder/forwarder.ts";
import type { HighestFence } from "../host/highest-fence.ts";
import type { Log } from "../host/log.ts";
import type { Services } from "../host/services.ts";
import type { MysqlServer } from "../mysql/server.ts";
import type { StopPoint } from "../operation/step.ts";
import type { NodeOrchestrator } from "../orchestrator/on-node.ts";
import type { AgentState } from "./state.ts";
import type { Waker } from "./waker.ts";

/** Everything that an agent acts through. */
export interface AgentContext {
  readonly config: NodeConfig;
  readonly identity: NodeIdentity;
  readonly log: Log;
  readonly state: AgentState;
  readonly services: Services;
  readonly table: Table;
  /** What every agent looks at all the time, in one call. */
  readonly readItems: BatchReader;
  readonly topology: Topology;
  /** `lock-{cluster_id}`. */
  readonly election: Lease;
  /** `primary-{cluster_id}`. */
  readonly primaryLease: Lease;
  /** `operation-lock-{cluster_id}`, to see whether the operation that holds this node is alive. */
  readonly operationLock: Lease;
  readonly highestFence: HighestFence;
  /** Changes of the own mysqld go one at a time; whoever has waited looks again. */
  readonly turn: <T>(work: () => Promise<T>) => Promise<T>;
  /** HAProxy on this node, with `forward` routing. */
  readonly forwarder: Forwarder | undefined;
  /** Orchestrator on this node, when it is the engine. */
  readonly orchestrator: NodeOrchestrator | undefined;
  readonly bucket: Bucket;
  readonly journal: Journal;
  readonly notify: Notify | undefined;
  readonly catalog: Catalog;
  /** For the decisions; it never waits for an acknowledgement, because nothing that commits goes through it. */
  readonly mysql: MysqlServer;
  /** Logs in at the own mysqld the way clients do, and leaves. */
  readonly logIn: (user: string, password: string) => Promise<void>;
  /** For what writes: it may have to wait without holding up the decisions. */
  readonly mysqlForWrites: MysqlServer;
  readonly agents: AgentClient;
  readonly ec2: Ec2;
  readonly autoScaling: AutoScaling;
  readonly targetGroups: TargetGroups;
  readonly metadata: Metadata;
  readonly credentials: () => Promise<Credentials>;
  /** Has the decisions made now instead of at their next round. */
  readonly waker: Waker;
  /** For fault tests: stops this process at a point. */
  readonly stopAt: (point: StopPoint) => Promise<void>;
  /** What a switchover away from here would be. */
  readonly planSwitchover: (operationId: string) => Promise<OperationPlan>;
  /** Has systemd run a recorded operation on this node. */
  readonly startOperation: (operationId: string) => Promise<void>;
  readonly signal: AbortSignal;
}
