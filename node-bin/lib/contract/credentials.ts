import * as v from "valibot";

const Password = v.pipe(
  v.string(),
  v.minLength(8),
  v.maxLength(128),
  v.regex(/^[\x21-\x7e]+$/, "printable ASCII without spaces"),
);

/**
 * The credentials secret `{cluster_id}/mysql-credentials-…`: a JSON object of passwords. `agent` is a signing key, not an
 * account: agents log in on their own node as root by socket.
 */
export const Credentials = v.object({
  /** `root`@`127.0.0.1`, for people on the node when the socket does not help. */
  root: Password,
  /** Shared by the replication accounts of all nodes, `repl_{server_id}`. MySQL takes at most 32 characters from a replica. */
  replication: v.pipe(Password, v.maxLength(32)),
  backup: Password,
  monitor: Password,
  orchestrator: Password,
  /** Key of the signatures on commands between agents. */
  agent: Password,
  /** The first application user, when one is asked for. */
  app: v.optional(Password),
});
export type Credentials = v.InferOutput<typeof Credentials>;

/** MySQL account names. */
export const accountNames = {
  /** One account for each node, so that a primary can refuse one of them. */
  replication: (serverId: number): string => `repl_${serverId}`,
  backup: "backup",
  monitor: "monitor",
  orchestrator: "orchestrator",
  /** Writes to a table of its own while a switchover is under way, with the password of `monitor`. */
  probe: "probe",
  app: "app",
} as const;
