import type { OperationRecord } from "#contract/operation.ts";
import type { Acker, TopologyRecord } from "#contract/topology.ts";
import type { Grant, Lease } from "../../coordination/lease.ts";
import type { Topology } from "../../coordination/topology.ts";
import type { Log } from "../../host/log.ts";
import type { ClusterNode } from "../cluster-node.ts";

/** What was measured by the probe client. */
export interface ProbeReport {
  /** Longest time between two answered writes, milliseconds; undefined when it could not write at all. */
  readonly refusedMs: number | undefined;
  readonly errors: number;
}

/** A client that writes the whole time, as an application would. */
export interface Probe {
  stop(): Promise<ProbeReport>;
}

/** What the steps of a switchover act on; the fields that change are what one step leaves for the next. */
export interface SwitchoverContext {
  readonly operation: OperationRecord;
  readonly me: string;
  /** The record before anything was changed. */
  readonly before: TopologyRecord;
  readonly candidate: ClusterNode;
  readonly candidateUuid: string;
  /** Undefined when it is gone: a forced promotion. */
  readonly old: ClusterNode | undefined;
  /** The other replicas. */
  readonly others: readonly ClusterNode[];
  readonly forced: boolean;
  readonly topology: Topology;
  readonly election: Lease;
  readonly operationGrant: Grant;
  readonly log: Log;
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly startProbe: () => Promise<Probe>;
  /** Orchestrator leaves the cluster alone meanwhile; nothing under the agent engine. */
  readonly pauseRecoveries: () => Promise<void>;
  readonly resumeRecoveries: () => Promise<void>;
  probe: Probe | undefined;
  /** When clients were refused first, on the monotonic clock. */
  refusedSince: number | undefined;
  /** What the old primary had executed when it was read-only. */
  goal: string;
  /** Others that receive from the candidate already. */
  placed: readonly ClusterNode[];
  /** The record, read before it is needed; a write on top of an older one is refused. */
  readPending: Promise<TopologyRecord | undefined> | undefined;
  /** The election lock, asked for before it is needed. */
  lockPending: Promise<Grant> | undefined;
  /** The first ackers, while they are waited for. */
  ackersPending: Promise<readonly Acker[]> | undefined;
  ackers: readonly Acker[];
  sessionsEnded: number | undefined;
  electionGrant: Grant | undefined;
  /** The record that names the candidate. */
  after: TopologyRecord | undefined;
}
