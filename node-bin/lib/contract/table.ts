/**
 * The items of the cluster's DynamoDB table. Hash key `pk` (S); every read is a consistent read. TTL is on
 * `expires_at`, which only operation items carry: a lock is never removed by TTL, because its fence must only grow.
 */
export const hashKey = "pk";

/** The attribute that the table's TTL is set on, in epoch seconds. */
export const ttlAttribute = "expires_at";

/** Which lease a lock item is. */
export type LockName = "election" | "backup" | "binlog" | "operation";

const lockPrefix: Record<LockName, string> = {
  election: "lock",
  backup: "backup-lock",
  binlog: "binlog-lock",
  operation: "operation-lock",
};

/** Keys of the table's items. */
export const itemKey = {
  lock: (name: LockName, clusterId: string): string => `${lockPrefix[name]}-${clusterId}`,
  primaryLease: (clusterId: string): string => `primary-${clusterId}`,
  serverIds: (clusterId: string): string => `server-ids-${clusterId}`,
  topology: (clusterId: string): string => `topology-${clusterId}`,
  binlogPosition: (clusterId: string): string => `binlog-position-${clusterId}`,
  operation: (clusterId: string, operationId: string): string => `operation-${clusterId}-${operationId}`,
} as const;
