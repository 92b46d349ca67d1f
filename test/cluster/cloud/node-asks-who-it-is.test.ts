import {
  AutoScalingClient,
  CompleteLifecycleActionCommand,
  TerminateInstanceInAutoScalingGroupCommand,
} from "@aws-sdk/client-auto-scaling";
import { DynamoDBClient, GetItemCommand } from "@aws-sdk/client-dynamodb";
import { CreateTagsCommand, EC2Client } from "@aws-sdk/client-ec2";
import { SendCommandCommand, SSMClient } from "@aws-sdk/client-ssm";
import { fromInstanceMetadata } from "@aws-sdk/credential-providers";
import { afterAll, beforeAll, expect, it } from "vitest";
import { lifecycleHooks } from "#contract/names.ts";
import { hashKey } from "#contract/table.ts";
import { tags } from "#contract/tags.ts";
import { type Closable, type CloudInstance, type ClusterResources, createCluster } from "#lab/cloud/index.ts";
import { startTestCloud, type TestCloud } from "./harness.ts";

let test: TestCloud;
let cluster: ClusterResources;
let instance: CloudInstance;
let service: Closable;
const saved = process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT;

beforeAll(async () => {
  test = await startTestCloud();
  cluster = await createCluster(test.cloud, { clusterId: "identity", nodes: 3 });
  const [first] = test.cloud.instances();
  if (first === undefined) throw new Error("There is no instance.");
  instance = first;
  service = await test.cloud.metadata.listen(instance.instanceId, instance.privateIp);
  Object.assign(process.env, test.cloud.nodeEnvironment(instance.privateIp));
});
afterAll(async () => {
  if (saved === undefined) delete process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT;
  else process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT = saved;
  await service?.close();
  await test?.close();
});

const at = (path: string): string => `http://${instance.privateIp}:${test.cloud.metadata.port}/latest/${path}`;
const token = async (ttl = "60"): Promise<string> => {
  const response = await fetch(at("api/token"), {
    method: "PUT",
    headers: { "X-aws-ec2-metadata-token-ttl-seconds": ttl },
  });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response.text();
};
const get = async (path: string): Promise<string> => {
  const response = await fetch(at(path), { headers: { "X-aws-ec2-metadata-token": await token() } });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response.text();
};

it("a token is needed, and is only given on the terms of AWS", async () => {
  expect((await fetch(at("meta-data/instance-id"))).status).toBe(401);
  const guessed = await fetch(at("meta-data/instance-id"), { headers: { "X-aws-ec2-metadata-token": "guess" } });
  expect(guessed.status).toBe(401);
  await expect(token("0")).rejects.toThrow("400");
  await expect(token("21601")).rejects.toThrow("400");
  const proxied = await fetch(at("api/token"), {
    method: "PUT",
    headers: { "X-aws-ec2-metadata-token-ttl-seconds": "60", "X-Forwarded-For": "10.0.0.1" },
  });
  expect(proxied.status).toBe(403);
});

it("the node learns its id, address and zone", async () => {
  expect(await get("meta-data/instance-id")).toBe(instance.instanceId);
  expect(await get("meta-data/local-ipv4")).toBe(instance.privateIp);
  expect(await get("meta-data/placement/availability-zone")).toBe("us-east-1a");
  expect(await get("meta-data/placement/region")).toBe("us-east-1");
  expect(JSON.parse(await get("dynamic/instance-identity/document"))).toMatchObject({
    instanceId: instance.instanceId,
    privateIp: instance.privateIp,
    region: "us-east-1",
    accountId: test.cloud.accountId,
  });
  await expect(get("meta-data/public-ipv4")).rejects.toThrow("404");
});

it("the node learns its tags, and the changes of them", async () => {
  expect((await get("meta-data/tags/instance")).split("\n")).toContain(tags.dynamodbTable);
  expect(await get(`meta-data/tags/instance/${tags.dynamodbTable}`)).toBe(cluster.tableName);
  await expect(get(`meta-data/tags/instance/${tags.role}`)).rejects.toThrow("404");
  const { endpoint, region, operator } = test.cloud;
  const ec2 = new EC2Client({ endpoint, region, credentials: operator });
  await ec2.send(
    new CreateTagsCommand({ Resources: [instance.instanceId], Tags: [{ Key: tags.role, Value: "master" }] }),
  );
  expect(await get(`meta-data/tags/instance/${tags.role}`)).toBe("master");
});

it("the SDK finds the role's credentials, and the gateway knows the node by them", async () => {
  const credentials = fromInstanceMetadata({ maxRetries: 0 });
  const { endpoint, region } = test.cloud;
  const dynamodb = new DynamoDBClient({ endpoint, region, credentials, maxAttempts: 1 });
  const read = new GetItemCommand({ TableName: cluster.tableName, Key: { [hashKey]: { S: "x" } } });
  await expect(dynamodb.send(read)).resolves.toMatchObject({ $metadata: { httpStatusCode: 200 } });
  expect(await get("meta-data/iam/security-credentials/")).toBe(cluster.roleName);

  const heal = test.cloud.faults.add({
    match: { principal: instance.instanceId, service: "dynamodb" },
    effect: { kind: "deny" },
  });
  await expect(dynamodb.send(read)).rejects.toMatchObject({ name: "AccessDeniedException" });
  heal();
  await expect(dynamodb.send(read)).resolves.toBeDefined();

  const ssm = new SSMClient({ endpoint, region, credentials, maxAttempts: 1 });
  await expect(
    ssm.send(new SendCommandCommand({ DocumentName: cluster.documents.status, InstanceIds: [instance.instanceId] })),
  ).rejects.toMatchObject({ name: "SignatureDoesNotMatch" });
});

it("the node learns that it is to be terminated", async () => {
  expect(await get("meta-data/autoscaling/target-lifecycle-state")).toBe("InService");
  const { endpoint, region, operator } = test.cloud;
  const autoScaling = new AutoScalingClient({ endpoint, region, credentials: operator });
  await autoScaling.send(
    new CompleteLifecycleActionCommand({
      AutoScalingGroupName: cluster.asgName,
      LifecycleHookName: lifecycleHooks.launch,
      InstanceId: instance.instanceId,
      LifecycleActionResult: "CONTINUE",
    }),
  );
  await autoScaling.send(
    new TerminateInstanceInAutoScalingGroupCommand({
      InstanceId: instance.instanceId,
      ShouldDecrementDesiredCapacity: false,
    }),
  );
  expect(await get("meta-data/autoscaling/target-lifecycle-state")).toBe("Terminated");
});
