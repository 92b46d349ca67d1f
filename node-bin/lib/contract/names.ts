import * as v from "valibot";

/** What one cluster is called everywhere. It becomes part of table, bucket, secret and document names, hence the limits. */
export const ClusterId = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9-]+$/, "a cluster id has lower-case letters, digits and hyphens only"),
  v.maxLength(32, "a cluster id has at most 32 characters, so that the bucket name that contains it stays below 63"),
);

/** An EC2 instance id, for example `i-0123456789abcdef0`. */
export const InstanceId = v.pipe(
  v.string(),
  v.regex(/^i-[0-9a-f]{8,17}$/, "an instance id looks like i-0123456789abcdef0"),
);

/** A MySQL server uuid in lower case. */
export const ServerUuid = v.pipe(v.string(), v.regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/));

/** An IPv4 address. */
export const PrivateIp = v.pipe(v.string(), v.ipv4());

/** A point in time as ISO 8601 in UTC, with or without fractions of a second. */
export const IsoTime = v.pipe(v.string(), v.isoTimestamp());

/** A fence: a number that only grows; 0 means "none was ever granted". */
export const Fence = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** The prefix of every named AWS resource of a cluster. */
export const namePrefix = (clusterId: string): string => `percona-${clusterId}`;

/** The DynamoDB table that holds locks, topology and operations. */
export const tableName = (clusterId: string): string => `${namePrefix(clusterId)}-locks`;

/** The prefix of the credentials secret; Terraform adds a random suffix. */
export const credentialsSecretPrefix = (clusterId: string): string => `${clusterId}/mysql-credentials-`;

/** The prefix of the bucket for backups, archive and audit; Terraform adds a random suffix. */
export const bucketPrefix = (clusterId: string): string => `${namePrefix(clusterId)}-backups-`;

/** Names of the Auto Scaling lifecycle hooks. */
export const lifecycleHooks = { launch: "raft-launch", terminate: "raft-terminate" } as const;

/** systemd units on a node. */
export const units = {
  mysql: "mysql",
  agent: "percona-agent",
  bootstrap: "percona-bootstrap",
  forwarder: "percona-forwarder",
  orchestrator: "orchestrator",
} as const;

/** The transient systemd unit that runs one operation. */
export const operationUnit = (operationId: string): string => `percona-operation-${operationId}`;
