import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AutoScalingClient, CreateAutoScalingGroupCommand } from "@aws-sdk/client-auto-scaling";
import {
  CreateTableCommand,
  DynamoDBClient,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
} from "@aws-sdk/client-dynamodb";
import {
  AuthorizeSecurityGroupIngressCommand,
  CreateLaunchTemplateCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  EC2Client,
} from "@aws-sdk/client-ec2";
import {
  CreateListenerCommand,
  CreateLoadBalancerCommand,
  CreateTargetGroupCommand,
  ElasticLoadBalancingV2Client,
  ModifyTargetGroupAttributesCommand,
} from "@aws-sdk/client-elastic-load-balancing-v2";
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from "@aws-sdk/client-s3";
import { CreateSecretCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { CreateDocumentCommand, SSMClient } from "@aws-sdk/client-ssm";
import { agentPaths } from "#contract/agent-api.ts";
import type { Credentials } from "#contract/credentials.ts";
import { type DocumentOperation, documentName, documentOperations } from "#contract/documents.ts";
import { bucketPrefix, credentialsSecretPrefix, lifecycleHooks, namePrefix, tableName } from "#contract/names.ts";
import { ports } from "#contract/ports.ts";
import { hashKey, ttlAttribute } from "#contract/table.ts";
import { tags } from "#contract/tags.ts";
import { signedQuery } from "./signed-query.ts";
import type { Cloud } from "./types.ts";

/** What the quick start is asked for. */
export interface ClusterOptions {
  readonly clusterId: string;
  readonly nodes: 3 | 5;
  /** Asks for a first schema and application user; the secret then has the password `app`. */
  readonly application?: { readonly schema: string; readonly user: string };
  /** Where the balancer sends connections on a node: to its forwarder, or to mysqld itself. Default: `forward`. */
  readonly routing?: Routing;
  /** Server version for the nodes' tag. */
  readonly serverVersion?: string;
}

export type Routing = "forward" | "registration";

/** Port and checked path of each target group. With `forward` every node is a target of both groups as long as its agent is well. */
const targetChoices = {
  forward: {
    write: { port: ports.forwardWrite, healthPath: agentPaths.health },
    read: { port: ports.forwardRead, healthPath: agentPaths.health },
  },
  registration: {
    write: { port: ports.mysql, healthPath: agentPaths.primary },
    read: { port: ports.mysql, healthPath: agentPaths.replica },
  },
} as const;

/** Everything that was made, by name. */
export interface ClusterResources {
  readonly clusterId: string;
  readonly nodes: number;
  readonly vpcId: string;
  readonly subnetIds: readonly string[];
  readonly securityGroupId: string;
  readonly loadBalancerArn: string;
  /** Where clients connect, with the balancer's ports of the contract. */
  readonly loadBalancerAddress: string;
  readonly writeTargetGroupArn: string;
  readonly readTargetGroupArn: string;
  readonly tableName: string;
  readonly bucket: string;
  readonly secretArn: string;
  readonly secretName: string;
  readonly roleName: string;
  readonly instanceProfileName: string;
  readonly launchTemplateId: string;
  readonly asgName: string;
  readonly documents: Readonly<Record<DocumentOperation, string>>;
  /** The topic that hears of failovers. */
  readonly topicArn: string;
  readonly application?: { readonly schema: string; readonly user: string };
  /** What the secret holds. */
  readonly credentials: Credentials;
}

/** Zones and the third byte of their subnets. */
const zones = [
  { letter: "a", byte: 11 },
  { letter: "b", byte: 12 },
  { letter: "c", byte: 13 },
] as const;
/** The AMI is never looked at: the hypervisor boots what it has. */
const imageId = "ami-00000000000000001";
const iam = { service: "iam", version: "2010-05-08" };

const password = (): string => randomBytes(24).toString("base64url");

const present = <T>(value: T | undefined, what: string): T => {
  if (value === undefined) throw new Error(`The answer names no ${what}. What was made before stays; start a new lab.`);
  return value;
};

/** What the two ways of routing want of a target group besides. */
const groupAttributes = (routing: Routing, role: "write" | "read"): Record<string, string> => {
  if (routing === "forward") {
    return {
      "deregistration_delay.timeout_seconds": "60",
      // An agent that does not answer says nothing about the sessions that its node's HAProxy forwards.
      "target_health_state.unhealthy.connection_termination.enabled": "false",
    };
  }
  if (role === "read") return { "deregistration_delay.timeout_seconds": "60" };
  // Who is taken out of the write group is read-only already: a session that stays there can only fail.
  return {
    "deregistration_delay.timeout_seconds": "0",
    "deregistration_delay.connection_termination.enabled": "true",
  };
};

/** Makes by API calls what Terraform makes for one cluster. Running it twice with one cluster id fails. */
export const createCluster = async (cloud: Cloud, options: ClusterOptions): Promise<ClusterResources> => {
  const { clusterId, nodes, application } = options;
  const name = namePrefix(clusterId);
  const suffix = randomBytes(4).toString("hex");
  const routing = options.routing ?? "forward";
  const choice = targetChoices[routing];
  const common = { endpoint: cloud.endpoint, region: cloud.region, credentials: cloud.operator };
  const ec2 = new EC2Client(common);
  const autoScaling = new AutoScalingClient(common);
  const balancing = new ElasticLoadBalancingV2Client(common);
  const dynamodb = new DynamoDBClient(common);
  const s3 = new S3Client({ ...common, forcePathStyle: true });
  const secrets = new SecretsManagerClient(common);
  const ssm = new SSMClient(common);

  const makeNetwork = async () => {
    const { Vpc } = await ec2.send(new CreateVpcCommand({ CidrBlock: `${cloud.network}.0.0/16` }));
    const vpcId = present(Vpc?.VpcId, "VPC");
    const subnetIds: string[] = [];
    for (const { letter, byte } of zones) {
      const { Subnet } = await ec2.send(
        new CreateSubnetCommand({
          VpcId: vpcId,
          CidrBlock: `${cloud.network}.${byte}.0/24`,
          AvailabilityZone: `${cloud.region}${letter}`,
        }),
      );
      subnetIds.push(present(Subnet?.SubnetId, "subnet"));
    }
    const { GroupId } = await ec2.send(
      new CreateSecurityGroupCommand({ GroupName: name, Description: `Nodes of ${clusterId}`, VpcId: vpcId }),
    );
    const securityGroupId = present(GroupId, "security group");
    await ec2.send(
      new AuthorizeSecurityGroupIngressCommand({
        GroupId: securityGroupId,
        IpPermissions: [...new Set<number>(Object.values(ports))].map((port) => ({
          IpProtocol: "tcp",
          FromPort: port,
          ToPort: port,
          IpRanges: [{ CidrIp: `${cloud.network}.0.0/16` }],
        })),
      }),
    );
    return { vpcId, subnetIds, securityGroupId };
  };

  const makeTargetGroup = async (role: "write" | "read", vpcId: string): Promise<string> => {
    const { port, healthPath } = choice[role];
    const { TargetGroups } = await balancing.send(
      new CreateTargetGroupCommand({
        Name: `${name}-${role}`.slice(0, 32),
        Protocol: "TCP",
        Port: port,
        VpcId: vpcId,
        TargetType: "instance",
        HealthCheckProtocol: "HTTP",
        HealthCheckPort: String(ports.agent),
        HealthCheckPath: healthPath,
        HealthCheckIntervalSeconds: 10,
        HealthCheckTimeoutSeconds: 5,
        HealthyThresholdCount: 2,
        UnhealthyThresholdCount: 2,
        Matcher: { HttpCode: "200" },
      }),
    );
    const arn = present(TargetGroups?.[0]?.TargetGroupArn, "target group");
    await balancing.send(
      new ModifyTargetGroupAttributesCommand({
        TargetGroupArn: arn,
        Attributes: Object.entries(groupAttributes(routing, role)).map(([Key, Value]) => ({ Key, Value })),
      }),
    );
    return arn;
  };

  const makeBalancer = async (vpcId: string, subnetIds: string[]) => {
    const writeTargetGroupArn = await makeTargetGroup("write", vpcId);
    const readTargetGroupArn = await makeTargetGroup("read", vpcId);
    const { LoadBalancers } = await balancing.send(
      new CreateLoadBalancerCommand({
        Name: name.slice(0, 32),
        Type: "network",
        Scheme: "internal",
        Subnets: subnetIds,
      }),
    );
    const loadBalancerArn = present(LoadBalancers?.[0]?.LoadBalancerArn, "load balancer");
    const listeners = [
      { port: ports.balancerWrite, arn: writeTargetGroupArn },
      { port: ports.balancerRead, arn: readTargetGroupArn },
    ];
    for (const { port, arn } of listeners) {
      await balancing.send(
        new CreateListenerCommand({
          LoadBalancerArn: loadBalancerArn,
          Protocol: "TCP",
          Port: port,
          DefaultActions: [{ Type: "forward", TargetGroupArn: arn }],
        }),
      );
    }
    return { loadBalancerArn, writeTargetGroupArn, readTargetGroupArn };
  };

  const makeTable = async (): Promise<string> => {
    const TableName = tableName(clusterId);
    await dynamodb.send(
      new CreateTableCommand({
        TableName,
        BillingMode: "PAY_PER_REQUEST",
        AttributeDefinitions: [{ AttributeName: hashKey, AttributeType: "S" }],
        KeySchema: [{ AttributeName: hashKey, KeyType: "HASH" }],
      }),
    );
    await waitUntilTableExists({ client: dynamodb, minDelay: 1, maxWaitTime: 30 }, { TableName });
    await dynamodb.send(
      new UpdateTimeToLiveCommand({
        TableName,
        TimeToLiveSpecification: { AttributeName: ttlAttribute, Enabled: true },
      }),
    );
    return TableName;
  };

  const makeBucket = async (): Promise<string> => {
    const Bucket = `${bucketPrefix(clusterId)}${suffix}`;
    await s3.send(new CreateBucketCommand({ Bucket }));
    await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }));
    return Bucket;
  };

  const makeSecret = async () => {
    const credentials: Credentials = {
      root: password(),
      replication: password(),
      backup: password(),
      monitor: password(),
      orchestrator: password(),
      agent: password(),
      ...(application === undefined ? {} : { app: password() }),
    };
    const secretName = `${credentialsSecretPrefix(clusterId)}${suffix}`;
    const { ARN } = await secrets.send(
      new CreateSecretCommand({ Name: secretName, SecretString: JSON.stringify(credentials) }),
    );
    return { credentials, secretName, secretArn: present(ARN, "secret") };
  };

  const makeRole = async () => {
    const roleName = `${name}-node`;
    await signedQuery(
      cloud,
      { ...iam, operation: "CreateRole" },
      {
        RoleName: roleName,
        AssumeRolePolicyDocument: JSON.stringify({
          Version: "2012-10-17",
          Statement: [{ Effect: "Allow", Action: "sts:AssumeRole", Principal: { Service: "ec2.amazonaws.com" } }],
        }),
      },
    );
    const profile = { InstanceProfileName: roleName };
    await signedQuery(cloud, { ...iam, operation: "CreateInstanceProfile" }, profile);
    await signedQuery(cloud, { ...iam, operation: "AddRoleToInstanceProfile" }, { ...profile, RoleName: roleName });
    return { roleName, instanceProfileName: roleName };
  };

  const makeTopic = async (): Promise<string> => {
    const answer = await signedQuery(
      cloud,
      { service: "sns", version: "2010-03-31", operation: "CreateTopic" },
      { Name: `${name}-events` },
    );
    return present(/<TopicArn>([^<]+)<\/TopicArn>/.exec(answer)?.[1], "topic");
  };

  const makeDocuments = async (): Promise<Record<DocumentOperation, string>> => {
    const made = {} as Record<DocumentOperation, string>;
    for (const operation of documentOperations) {
      const file = new URL(`../../../terraform/documents/${operation}.json`, import.meta.url);
      made[operation] = documentName(clusterId, operation);
      await ssm.send(
        new CreateDocumentCommand({
          Name: made[operation],
          DocumentType: "Command",
          DocumentFormat: "JSON",
          Content: await readFile(file, "utf8"),
          Tags: [{ Key: tags.clusterId, Value: clusterId }],
        }),
      );
    }
    return made;
  };

  try {
    const [network, table, bucket, secret, role, documents, topicArn] = await Promise.all([
      makeNetwork(),
      makeTable(),
      makeBucket(),
      makeSecret(),
      makeRole(),
      makeDocuments(),
      makeTopic(),
    ]);
    const balancer = await makeBalancer(network.vpcId, network.subnetIds);
    const asgName = name;
    const instanceTags: Record<Exclude<keyof typeof tags, "role">, string> = {
      clusterId,
      environment: "lab",
      createdByModule: "lab/quick-start",
      perconaClusterId: clusterId,
      dynamodbTable: table,
      s3Bucket: bucket,
      writeTargetGroupArn: balancer.writeTargetGroupArn,
      readTargetGroupArn: balancer.readTargetGroupArn,
      asgName,
      instanceCount: String(nodes),
      storageType: "ebs",
      storageSizeGb: "20",
      storageCount: "1",
      luksKeyArn: "",
      serverVersion: options.serverVersion ?? "9.7",
    };
    const { LaunchTemplate } = await ec2.send(
      new CreateLaunchTemplateCommand({
        LaunchTemplateName: name,
        LaunchTemplateData: {
          ImageId: imageId,
          InstanceType: "m6i.large",
          SecurityGroupIds: [network.securityGroupId],
          IamInstanceProfile: { Name: role.instanceProfileName },
          MetadataOptions: {
            HttpEndpoint: "enabled",
            HttpTokens: "required",
            HttpPutResponseHopLimit: 1,
            InstanceMetadataTags: "enabled",
          },
          TagSpecifications: [
            {
              ResourceType: "instance",
              Tags: Object.entries(instanceTags).map(([key, Value]) => ({
                Key: tags[key as keyof typeof tags],
                Value,
              })),
            },
          ],
        },
      }),
    );
    const launchTemplateId = present(LaunchTemplate?.LaunchTemplateId, "launch template");
    await autoScaling.send(
      new CreateAutoScalingGroupCommand({
        AutoScalingGroupName: asgName,
        MinSize: nodes,
        MaxSize: nodes,
        DesiredCapacity: nodes,
        VPCZoneIdentifier: network.subnetIds.join(","),
        LaunchTemplate: { LaunchTemplateId: launchTemplateId, Version: "$Latest" },
        HealthCheckType: "EC2",
        HealthCheckGracePeriod: 300,
        LifecycleHookSpecificationList: [
          {
            LifecycleHookName: lifecycleHooks.launch,
            LifecycleTransition: "autoscaling:EC2_INSTANCE_LAUNCHING",
            HeartbeatTimeout: 3600,
            DefaultResult: "ABANDON",
          },
          {
            LifecycleHookName: lifecycleHooks.terminate,
            LifecycleTransition: "autoscaling:EC2_INSTANCE_TERMINATING",
            HeartbeatTimeout: 300,
            DefaultResult: "CONTINUE",
          },
        ],
        Tags: [
          { Key: tags.clusterId, Value: clusterId, PropagateAtLaunch: true },
          { Key: "Name", Value: name, PropagateAtLaunch: true },
        ],
      }),
    );
    return {
      clusterId,
      nodes,
      ...network,
      ...balancer,
      loadBalancerAddress: cloud.balancerAddress,
      tableName: table,
      bucket,
      ...secret,
      ...role,
      launchTemplateId,
      asgName,
      documents,
      topicArn,
      ...(application === undefined ? {} : { application }),
    };
  } finally {
    for (const client of [ec2, autoScaling, balancing, dynamodb, s3, secrets, ssm]) client.destroy();
  }
};
