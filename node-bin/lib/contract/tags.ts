/** Tags on a cluster's instances. The instance metadata service shows them to the node. */
export const tags = {
  /** Discovery and the scope of IAM conditions. */
  clusterId: "cluster_id",
  /** `master` or `replica`; absent until the node serves. Written by the node. */
  role: "mysql_role",
  environment: "environment",
  createdByModule: "created_by_module",
  perconaClusterId: "percona:cluster_id",
  dynamodbTable: "percona:dynamodb_table",
  s3Bucket: "percona:s3_bucket",
  writeTargetGroupArn: "percona:write_tg_arn",
  readTargetGroupArn: "percona:read_tg_arn",
  asgName: "percona:asg_name",
  instanceCount: "percona:instance_count",
  storageType: "percona:storage_type",
  storageSizeGb: "percona:storage_size_gb",
  storageCount: "percona:storage_count",
  luksKeyArn: "percona:luks_key_arn",
  serverVersion: "percona:server_version",
} as const;

/** Values of the role tag; the words on the wire are older than the words in the code. */
export const roleTagValue = { primary: "master", replica: "replica" } as const;
