import * as v from "valibot";
import { ClusterId } from "./names.ts";

/** Where a node looks for its configuration unless `PERCONA_NODE_CONFIG` names another file. */
export const defaultNodeConfigPath = "/etc/percona-actions/node.json";
export const nodeConfigVariable = "PERCONA_NODE_CONFIG";

const AbsolutePath = v.pipe(v.string(), v.startsWith("/"));
const Identifier = v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9_]{0,31}$/));

/**
 * A node's configuration file, JSON. Puppet writes it in production, the hypervisor in the lab; node-bin does not know the
 * difference. No secret is in it.
 */
export const NodeConfig = v.object({
  cluster_id: ClusterId,
  region: v.string(),
  /** Configured nodes, odd and at least 3. */
  instance_count: v.pipe(v.number(), v.integer(), v.minValue(3)),
  dynamodb_table: v.string(),
  /** Name or ARN of the credentials secret. */
  credentials_secret: v.string(),
  s3_bucket: v.string(),
  asg_name: v.string(),
  write_target_group_arn: v.string(),
  read_target_group_arn: v.string(),
  /** Network that accounts of other nodes may log in from, in MySQL's host form: `10.1.0.0/255.255.0.0`. */
  account_network: v.pipe(v.string(), v.regex(/^\d+\.\d+\.\d+\.\d+\/\d+\.\d+\.\d+\.\d+$/)),
  /** A replica further behind than this is taken out of the read group, seconds. */
  max_replica_lag_seconds: v.optional(v.pipe(v.number(), v.minValue(0)), 30),
  /** A first schema and application user, created at formation; the password is the secret's `app`. */
  application: v.optional(v.object({ schema: Identifier, user: Identifier })),
  mysql: v.object({
    /** mysqld itself, for initialising a data directory. */
    mysqld: AbsolutePath,
    /** The main option file, read-only for node-bin. */
    defaults_file: AbsolutePath,
    /** Folder of option files that the main one includes; node-bin writes one file with server id and report host. */
    include_dir: AbsolutePath,
    datadir: AbsolutePath,
    socket: AbsolutePath,
    /** System user that mysqld runs as. */
    os_user: v.string(),
    /** `auto`: require TLS from the source where the server offers it. */
    replication_tls: v.optional(v.picklist(["required", "off"]), "required"),
  }),
  /** Who notices that a primary is dead and chooses its successor; recording, opening and return are the same code. */
  failover_engine: v.optional(v.picklist(["agent", "orchestrator"]), "agent"),
  /**
   * How clients reach the primary. `forward`: every node is in both target groups and its HAProxy sends connections on.
   * `registration`: the primary is in the write group, replicas in the read group.
   */
  write_routing: v.optional(v.picklist(["forward", "registration"]), "forward"),
  /** Whether a primary may go on with fewer ackers than the wait count, after they were away for some seconds. */
  write_without_ackers: v.optional(v.picklist(["never", "allow"]), "never"),
  /** HAProxy on this node; with `forward` routing. */
  forwarder: v.optional(
    v.object({
      /** Its runtime socket. */
      socket: AbsolutePath,
    }),
  ),
  /** Percona's Orchestrator on this node, when it is the engine. */
  orchestrator: v.optional(
    v.object({
      /** Its configuration, in which `RaftNodes` is kept in step with the group. */
      config_file: AbsolutePath,
    }),
  ),
  /** Topic that hears of every failover. */
  sns_topic_arn: v.optional(v.pipe(v.string(), v.startsWith("arn:"))),
  /** State that outlives a restart: highest fence, operation state, work files. */
  state_dir: v.optional(AbsolutePath, "/var/lib/percona-actions"),
});
export type NodeConfig = v.InferOutput<typeof NodeConfig>;
