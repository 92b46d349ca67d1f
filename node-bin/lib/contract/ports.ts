/** TCP ports of a cluster. Terraform's security groups and Puppet's templates repeat them; a test holds them equal. */
export const ports = {
  /** mysqld, for replication and, with `registration` routing, for clients. */
  mysql: 3306,
  /** mysqld's administrative interface: it accepts connections when `max_connections` is exhausted. */
  mysqlAdmin: 33062,
  orchestratorHttp: 3000,
  orchestratorRaft: 10008,
  /** The agent on each node: health, status, commands. Open to the cluster's group and the load balancer. */
  agent: 3320,
  /** HAProxy on each node, to the primary. */
  forwardWrite: 6446,
  /** HAProxy on each node, to replicas within the lag limit. */
  forwardRead: 6447,
  /** The load balancer's listener for writes. */
  balancerWrite: 3306,
  /** The load balancer's listener for reads. */
  balancerRead: 3307,
} as const;
