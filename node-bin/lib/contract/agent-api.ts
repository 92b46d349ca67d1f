import * as v from "valibot";
import { ClusterId, Fence, InstanceId, PrivateIp, ServerUuid } from "./names.ts";
import { Incarnation } from "./topology.ts";

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
  /** What keeps this node from where it should be, in words for people; empty when all is well. */
  problems: v.array(v.string()),
});
export type NodeStatus = v.InferOutput<typeof NodeStatus>;

/** Commands between agents. Each is a POST to `/commands/{name}`. */
export const AgentCommandName = v.picklist([
  "freeze",
  "acknowledge",
  "apply",
  "repoint",
  "drain",
  "demote",
  "reopen",
  "open",
  "nudge",
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
