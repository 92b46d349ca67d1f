import * as v from "valibot";
import { ClusterId, Fence, InstanceId, PrivateIp, ServerUuid } from "./names.ts";
import { Incarnation, TopologyRecord } from "./topology.ts";

/** Open paths of the agent. None of them runs a query: they answer from what the agent saw last. */
export const agentPaths = {
  /** 200 while the agent's own loops run. */
  health: "/health",
  /** 200 when this node is the primary and clients may write to it. */
  primary: "/primary",
  /** 200 when this node is a replica that clients may read from; `?max-lag=SECONDS` lowers the limit. */
  replica: "/replica",
  /** `NodeStatus` as JSON. */
  status: "/status",
} as const;

/** The query parameter of `/replica`, whole seconds. */
export const maxLagParameter = "max-lag";

const Milliseconds = v.pipe(v.number(), v.minValue(0));
const Verdict = v.object({
  ok: v.boolean(),
  /** Why, in words for people. */
  because: v.string(),
});

/** A place in one server's binlog. */
export const BinlogPosition = v.object({
  file: v.string(),
  offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
export type BinlogPosition = v.InferOutput<typeof BinlogPosition>;

/** Replication as `SHOW REPLICA STATUS` shows it, in this project's words. */
export const ReplicationStatus = v.object({
  source_host: v.string(),
  source_uuid: v.optional(ServerUuid),
  receiver: v.picklist(["yes", "no", "connecting"]),
  applier: v.picklist(["yes", "no"]),
  auto_position: v.boolean(),
  received_gtid_set: v.string(),
  /** How far the receiver has read the source's binlog; a position covers commits that still wait for an acknowledgement. */
  read_position: v.optional(BinlogPosition),
  /** How far the applier is behind the source, seconds; absent when MySQL does not know. */
  lag_seconds: v.optional(v.pipe(v.number(), v.minValue(0))),
  receiver_error: v.optional(v.string()),
  receiver_errno: v.optional(v.number()),
  applier_error: v.optional(v.string()),
  applier_errno: v.optional(v.number()),
});
export type ReplicationStatus = v.InferOutput<typeof ReplicationStatus>;

/** What the agent saw of its mysqld last. */
export const MysqlStatus = v.object({
  up: v.boolean(),
  /** How long ago this was seen, milliseconds, on the agent's monotonic clock. */
  seen_ms_ago: Milliseconds,
  /** Why it is not up. */
  error: v.optional(v.string()),
  version: v.optional(v.string()),
  server_uuid: v.optional(ServerUuid),
  server_id: v.optional(v.pipe(v.number(), v.integer())),
  incarnation: v.optional(Incarnation),
  read_only: v.optional(v.boolean()),
  super_read_only: v.optional(v.boolean()),
  gtid_executed: v.optional(v.string()),
  gtid_purged: v.optional(v.string()),
  /** End of this server's own binlog. */
  binlog_end: v.optional(BinlogPosition),
  replication: v.optional(ReplicationStatus),
  semi_sync: v.optional(
    v.object({
      source_enabled: v.boolean(),
      replica_enabled: v.boolean(),
      wait_count: v.pipe(v.number(), v.integer()),
      /** Replicas that acknowledge, as the source counts them. */
      clients: v.pipe(v.number(), v.integer()),
      /** Sessions whose commit waits for an acknowledgement now. */
      waiting: v.optional(v.pipe(v.number(), v.integer())),
    }),
  ),
});
export type MysqlStatus = v.InferOutput<typeof MysqlStatus>;

/** What `/status` answers. */
export const NodeStatus = v.object({
  schema: v.literal(1),
  cluster_id: ClusterId,
  instance_id: InstanceId,
  private_ip: PrivateIp,
  availability_zone: v.string(),
  agent_version: v.string(),
  /** From the topology record that the agent read last; `unknown` before the first read. */
  role: v.picklist(["primary", "replica", "unknown"]),
  mysql: MysqlStatus,
  /** The topology record as this node saw it last. */
  record: v.optional(
    v.object({
      instance_id: InstanceId,
      phase: v.picklist(["forming", "serving"]),
      fence: Fence,
      timeline: v.pipe(v.number(), v.integer()),
      rvn: v.string(),
      listed: v.boolean(),
      seen_ms_ago: Milliseconds,
    }),
  ),
  /** The primary lease, when this node holds it. */
  lease: v.optional(v.object({ fence: Fence })),
  /** The highest fence this node has seen; it refuses commands below it. */
  highest_fence: Fence,
  serves_writes: Verdict,
  serves_reads: Verdict,
  /** Peers as this node's failover engine knows them, when it is one with peers (Orchestrator's raft). */
  raft: v.optional(v.object({ peers: v.array(v.object({ address: v.string(), alive: v.boolean() })) })),
  /**
   * Whether the agent knows that its group is about to terminate this instance, and whether it has let it go. Only the agent
   * itself says it: it is absent from a status that was made up because the agent did not answer.
   */
  leaving: v.optional(v.picklist(["no", "leaving", "let-go"])),
  /** What keeps this node from where it should be, in words for people; empty when all is well. */
  problems: v.array(v.string()),
});
export type NodeStatus = v.InferOutput<typeof NodeStatus>;

/** Commands between agents. Each is a POST to `/commands/{name}`. */
export const AgentCommandName = v.picklist([
  /** Looks at mysqld now; changes nothing. */
  "inspect",
  /** Stops receiving, until a recorded fence is at least as high. */
  "freeze",
  "acknowledge",
  /** Waits until a GTID set is executed. */
  "apply",
  /** Begins a new binlog file. */
  "rotate",
  /** Stops receiving and applying, before this node is opened. */
  "stop",
  /** Receives from the next primary, under an operation. */
  "place",
  /** Follows the recorded primary now. */
  "repoint",
  /** New connections are held back, on this node's forwarder. */
  "drain",
  "demote",
  "reopen",
  "open",
  "nudge",
  /** Runs a recorded operation on this node. */
  "operate",
  /** Orchestrator is about to replace the primary: may it? */
  "attempt",
  /** Orchestrator has ended its recovery. */
  "conclude",
]);
export type AgentCommandName = v.InferOutput<typeof AgentCommandName>;

/** Paths of commands and of the nonce that each needs. */
export const agentCommandPath = (name: AgentCommandName): string => `/commands/${name}`;
export const agentNoncePath = "/commands/nonce";

/** Headers of a signed command: HMAC-SHA-256 over `signedText` with the secret's `agent` key, lower-case hex. */
export const agentCommandHeaders = {
  fence: "x-percona-fence",
  nonce: "x-percona-nonce",
  signature: "x-percona-signature",
} as const;

/** The text that a command's signature covers. */
export const signedText = (command: {
  method: string;
  path: string;
  body: string;
  fence: number;
  nonce: string;
}): string => [command.method, command.path, String(command.fence), command.nonce, command.body].join("\n");

/**
 * Body of `acknowledge`: this replica stops acknowledging, and does not begin again while the topology record has the `rvn`
 * that the primary is about to replace.
 */
export const StopAcknowledging = v.object({ rvn: v.string() });

/** Answer of `inspect`. */
export const Inspection = v.object({
  mysql: MysqlStatus,
  /** Age of the oldest transaction of a client, seconds; 0 when there is none. */
  oldest_transaction_seconds: v.number(),
  /** Sessions of clients. */
  client_sessions: v.number(),
});
export type Inspection = v.InferOutput<typeof Inspection>;

/** Body of `freeze`. */
export const Freeze = v.object({
  /** The recorded primary that is to be replaced. */
  primary: InstanceId,
  /** A person accepts the loss: a live stream is no reason to refuse. */
  forced: v.optional(v.boolean(), false),
});

/** Answer of `freeze`. */
export const FreezeAnswer = v.variant("frozen", [
  v.object({
    frozen: v.literal(true),
    instance_id: InstanceId,
    server_uuid: ServerUuid,
    incarnation: v.optional(Incarnation),
    received_gtid_set: v.string(),
    executed_gtid_set: v.string(),
  }),
  v.object({ frozen: v.literal(false), because: v.string() }),
]);
export type FreezeAnswer = v.InferOutput<typeof FreezeAnswer>;

/** Body of `apply`. */
export const Apply = v.object({
  gtid_set: v.string(),
  timeout_ms: Milliseconds,
  /** An operation for which replication begins to stop as soon as the set is executed; `stop` waits for that. */
  then_stop: v.optional(v.string()),
});

/** Answer of `apply`, once the set is executed. */
export const Applied = v.object({ incarnation: v.optional(Incarnation), executed_gtid_set: v.string() });
export type Applied = v.InferOutput<typeof Applied>;

/** Body of `stop`: the replica stays stopped for as long as the operation's lock is held, or until it is opened. */
export const Stop = v.object({ operation_id: v.string() });

/**
 * Body of `place`: the replica receives from the next primary already, which still receives from this one, for as long as the
 * operation's lock is held, or until it is repointed.
 */
export const Place = v.object({ operation_id: v.string(), private_ip: PrivateIp });

/** Body of `demote`: read-only under an operation, for as long as its lock is held. */
export const Demote = v.object({ operation_id: v.string(), timeout_ms: Milliseconds });

/** Answer of `demote`. */
export const Demoted = v.object({ executed_gtid_set: v.string(), sessions_ended: v.number() });
export type Demoted = v.InferOutput<typeof Demoted>;

/** Body of `drain`: connections that arrive are held, not sent to the primary, for at most this time; 0 ends it. */
export const Drain = v.object({ hold_ms: Milliseconds });

/** Body of `open`: this node is recorded as primary under the command's fence. */
export const Open = v.object({
  rvn: v.string(),
  /** How long writes have been impossible when it was sent, milliseconds; for the report. */
  since_ms: v.optional(Milliseconds),
});

/** Answer of `open`. */
export const Opened = v.object({ executed_gtid_set: v.string() });
export type Opened = v.InferOutput<typeof Opened>;

/** Body of `nudge`. */
export const Nudge = v.object({
  /** The primary that is recorded under this fence accepts writes. */
  opened: v.optional(Fence),
  /** The record as the sender has written it: who has it need not read it before connections are let go. */
  record: v.optional(TopologyRecord),
});

/** Body of `operate`. */
export const Operate = v.object({ operation_id: v.string() });

/** Body of `repoint`. */
export const Repoint = v.object({
  /** Version of the record that names the new primary. */
  rvn: v.string(),
  /** What the primary has executed at least, when it is known; a replica that received more does not follow it before it was looked at. */
  primary_gtid_set: v.optional(v.string()),
});

/** Answer of `repoint`. */
export const Repointed = v.object({ follows: v.boolean(), because: v.string() });
export type Repointed = v.InferOutput<typeof Repointed>;

/** Body of `attempt`. */
export const Attempt = v.object({ uid: v.string(), failed_host: v.string(), successor_host: v.optional(v.string()) });
/** Answer of `attempt`. */
export const AttemptAnswer = v.object({ allowed: v.boolean(), because: v.string() });
/** Body of `conclude`. */
export const Conclude = v.object({
  uid: v.string(),
  successful: v.boolean(),
  successor_host: v.optional(v.string()),
});
