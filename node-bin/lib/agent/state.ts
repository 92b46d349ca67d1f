import type { MysqlStatus, NodeStatus } from "#contract/agent-api.ts";
import { isListed, type TopologyRecord } from "#contract/topology.ts";
import type { BootstrapProgress } from "../bootstrap/progress.ts";
import type { PrimaryLog } from "../cluster/ackers.ts";
import type { KnownLag } from "../cluster/lag.ts";
import { type ServingView, servesReads, servesWrites, type Verdict } from "../cluster/serving.ts";
import type { Grant, LeaseView } from "../coordination/lease.ts";
import { monotonicMs } from "../host/wait.ts";

/** What is remembered of a replica between two rounds. */
export interface ReplicaMemory {
  /** The own log when this incarnation was seen first. */
  goal: { readonly incarnation: string; readonly log: PrimaryLog } | undefined;
  answeredAt: number;
  receivedAt: number;
}

/** What was seen of mysqld, without its age. */
export type SeenMysql = Omit<MysqlStatus, "seen_ms_ago">;

/** An operation that holds this primary read-only. */
export interface HoldingOperation {
  readonly operationId: string;
  /** When it was told to, milliseconds on the monotonic clock. */
  readonly since: number;
  /** Fence of the record at that time. */
  readonly fence: number;
  /** Whether the operation's lock was seen to be renewed, at the last look; before the first look it is taken to be. */
  live: boolean;
}

/** What an agent remembers of its node's Orchestrator, when that is the engine. */
export interface OrchestratorMemory {
  /** Answers by recovery: a hook that comes twice gets the same one. */
  readonly attempts: Map<string, Promise<{ readonly allowed: boolean; readonly because: string }>>;
  /** Vetoed recoveries, which block the next one until they are acknowledged, and since when. */
  readonly toAcknowledge: Map<string, { readonly because: string; readonly since: number }>;
  raft: NodeStatus["raft"];
  /** It was stopped for good, because this node leaves. */
  left: boolean;
}

/** Another instance of the cluster, as EC2 lists it. */
export interface Peer {
  readonly instanceId: string;
  readonly privateIp: string;
}

/** What an agent saw last. The loops write it, the HTTP server and the decisions read it. */
export interface AgentState {
  record: TopologyRecord | undefined;
  recordAt: number;
  mysql: SeenMysql;
  mysqlAt: number;
  /** When it answered last. */
  mysqlUpAt: number;
  knownLag: KnownLag | undefined;
  lease: Grant | undefined;
  bootstrap: BootstrapProgress | undefined;
  dataFormation: number | undefined;
  stoppedAtRvn: string | undefined;
  /** mysqld does not run, which is not the same as not to answer: the primary lets go of its lease at once. */
  mysqldDead: boolean;
  /** The primary lease as this node saw it last. */
  primaryLease: LeaseView | undefined;
  /** The operation that has made this primary read-only. */
  heldBy: HoldingOperation | undefined;
  /** New connections are held back until then, milliseconds on the monotonic clock. */
  drainingUntil: number;
  /** Another agent has seen this fence, which is above the recorded one; the primary takes a new one. */
  fenceSeenElsewhere: number;
  /** When an attempt to replace the primary may be made again, milliseconds on the monotonic clock. */
  nextAttemptAt: number;
  /** When this node noticed that the primary has to be replaced. */
  noticedAt: number | undefined;
  /** An operation whose runner does not renew the lock, and since when this node has seen that. */
  staleOperation: { readonly id: string; readonly since: number } | undefined;
  tookUpAt: number;
  /** The promotion that was reported last, by its fence. */
  reportedFence: number;
  /** The timeline that the bucket is known to have. */
  keptTimeline: number;
  /** It was cut off from the store and its ackers at the last look. */
  alone: boolean;
  /** The highest fence under which this node knows that a primary was opened. */
  openedFence: number;
  /** The fence under which this node, as primary, has tidied up what was left of its life as a replica. */
  settledFence: number;
  /** When this node read of another primary first, milliseconds on the monotonic clock. */
  newPrimaryAt: number;
  /** The primary whose sessions this node's forwarder has let stand. */
  forwardedTo: string | undefined;
  /** From when it was noticed that the primary has to be replaced until this node was open, milliseconds. */
  outageMs: number | undefined;
  /** Replication accounts that are locked on this primary, as it saw them last. */
  locked: { readonly accounts: readonly string[]; readonly at: number } | undefined;
  /** Too few ackers have been connected since then; undefined while there are enough. */
  fewAckersSince: number | undefined;
  /** Undefined until EC2 has answered once. */
  peers: readonly Peer[] | undefined;
  /** The group is about to terminate this instance; `let-go` once it may. */
  leaving: "leaving" | "let-go" | undefined;
  /** The life of mysqld whose clients' passwords were tried. */
  warmedLife: string | undefined;
  /** What was executed at the last look, when commits waited then although enough ackers were connected. */
  heldAt: string | undefined;
  askedForBootstrapAt: number;
  readonly orchestrator: OrchestratorMemory;
  /** What the primary remembers of each replica between two rounds. */
  readonly replicas: Map<string, ReplicaMemory>;
  /** What is wrong, by the loop that found it. */
  readonly problems: Map<string, string>;
  /** When each loop went round last, milliseconds on the monotonic clock. */
  readonly loops: Map<string, number>;
}

/** A state that has seen nothing yet. */
export const emptyState = (): AgentState => ({
  record: undefined,
  recordAt: Number.NEGATIVE_INFINITY,
  mysql: { up: false, error: "not looked at yet" },
  mysqlAt: Number.NEGATIVE_INFINITY,
  mysqlUpAt: Number.NEGATIVE_INFINITY,
  knownLag: undefined,
  lease: undefined,
  bootstrap: undefined,
  dataFormation: undefined,
  stoppedAtRvn: undefined,
  mysqldDead: false,
  primaryLease: undefined,
  heldBy: undefined,
  drainingUntil: Number.NEGATIVE_INFINITY,
  fenceSeenElsewhere: 0,
  nextAttemptAt: Number.NEGATIVE_INFINITY,
  noticedAt: undefined,
  staleOperation: undefined,
  tookUpAt: Number.NEGATIVE_INFINITY,
  reportedFence: 0,
  keptTimeline: 0,
  alone: false,
  openedFence: 0,
  settledFence: 0,
  newPrimaryAt: Number.NEGATIVE_INFINITY,
  forwardedTo: undefined,
  outageMs: undefined,
  locked: undefined,
  fewAckersSince: undefined,
  peers: undefined,
  leaving: undefined,
  warmedLife: undefined,
  heldAt: undefined,
  askedForBootstrapAt: Number.NEGATIVE_INFINITY,
  orchestrator: { attempts: new Map(), toAcknowledge: new Map(), raft: undefined, left: false },
  replicas: new Map(),
  problems: new Map(),
  loops: new Map(),
});

/** Keeps the record as it was read or written just now. */
export const noteRecord = (state: AgentState, record: TopologyRecord | undefined): void => {
  if (record?.instance_id !== state.record?.instance_id) state.newPrimaryAt = monotonicMs();
  state.record = record;
  state.recordAt = monotonicMs();
};

/** Whether events or heartbeats of the recorded primary itself come: one that is placed under another hears that other. */
export const hearsPrimary = ({ mysql, record }: AgentState): boolean =>
  mysql.replication?.receiver === "yes" && mysql.replication.source_host === record?.private_ip;

/** Whether the record names this node and its mysqld accepts writes, as both were seen last. */
export const isOpenPrimary = ({
  identity,
  state,
}: {
  readonly identity: { readonly instanceId: string };
  readonly state: AgentState;
}): boolean =>
  state.record?.instance_id === identity.instanceId &&
  state.mysql.up &&
  state.mysql.read_only === false &&
  state.mysql.super_read_only === false;

/** What was seen of mysqld longer ago than this is no longer true enough to serve by, milliseconds. */
export const staleAfterMs = 2000;

/** A loop that has not gone round for this long hangs, milliseconds. */
const loopHangsAfterMs = 15_000;

const longAgo = 1e9;
const age = (now: number, at: number): number => Math.min(longAgo, Math.max(0, Math.round(now - at)));

/** Who this agent is. */
export interface AgentSelf {
  readonly clusterId: string;
  readonly instanceId: string;
  readonly privateIp: string;
  readonly availabilityZone: string;
  readonly version: string;
  readonly maxLagSeconds: number;
}

/** mysqld as it was seen, with the age of that. */
export const mysqlStatus = (state: AgentState, now: number): MysqlStatus => ({
  ...state.mysql,
  seen_ms_ago: age(now, state.mysqlAt),
});

const servingView = (state: AgentState, self: AgentSelf, now: number): ServingView => ({
  me: self.instanceId,
  record: state.record,
  mysql: mysqlStatus(state, now),
  leaseHeld: state.lease?.held() ?? false,
  staleAfterMs,
  maxLagSeconds: self.maxLagSeconds,
});

/** Whether clients may write through this node now. */
export const writesVerdict = (state: AgentState, self: AgentSelf, now: number): Verdict =>
  servesWrites(servingView(state, self, now));

/** Whether clients may read from this node now. A caller may ask for less lag than the node's own limit, never for more. */
export const readsVerdict = (state: AgentState, self: AgentSelf, now: number, limit?: number): Verdict =>
  servesReads(servingView(state, self, now), Math.min(limit ?? self.maxLagSeconds, self.maxLagSeconds));

/** Whether the agent's own loops run. */
export const healthVerdict = (state: AgentState, now: number): Verdict => {
  const hanging = [...state.loops].filter(([, at]) => now - at > loopHangsAfterMs).map(([name]) => name);
  return hanging.length === 0
    ? { ok: true, because: "all loops run" }
    : { ok: false, because: `these loops hang: ${hanging.join(", ")}` };
};

const roleOf = (state: AgentState, self: AgentSelf): NodeStatus["role"] => {
  if (!state.record) return "unknown";
  return state.record.instance_id === self.instanceId ? "primary" : "replica";
};

const problemsOf = (state: AgentState): string[] => {
  const bootstrap = state.bootstrap;
  const unfinished =
    bootstrap === undefined || bootstrap.state === "joined"
      ? []
      : [bootstrap.state === "failed" ? bootstrap.step : `bootstrap: ${bootstrap.step}`];
  return [...unfinished, ...state.problems.values()];
};

/** What `/status` answers. */
export const nodeStatus = (state: AgentState, self: AgentSelf, highestFence: number, now: number): NodeStatus => ({
  schema: 1,
  cluster_id: self.clusterId,
  instance_id: self.instanceId,
  private_ip: self.privateIp,
  availability_zone: self.availabilityZone,
  agent_version: self.version,
  role: roleOf(state, self),
  mysql: mysqlStatus(state, now),
  ...(state.record && {
    record: {
      instance_id: state.record.instance_id,
      phase: state.record.phase,
      fence: state.record.fence,
      timeline: state.record.timeline,
      rvn: state.record.rvn,
      listed: isListed(state.record, self.instanceId, state.mysql.incarnation),
      seen_ms_ago: age(now, state.recordAt),
    },
  }),
  ...(state.lease?.held() && { lease: { fence: state.lease.fence } }),
  highest_fence: highestFence,
  serves_writes: writesVerdict(state, self, now),
  serves_reads: readsVerdict(state, self, now),
  ...(state.orchestrator.raft && { raft: state.orchestrator.raft }),
  leaving: state.leaving ?? "no",
  problems: problemsOf(state),
});
