import { crc32 } from "node:zlib";
import {
  AutoScalingClient,
  CompleteLifecycleActionCommand,
  DescribeAutoScalingGroupsCommand,
  TerminateInstanceInAutoScalingGroupCommand,
} from "@aws-sdk/client-auto-scaling";
import { afterAll, beforeAll, expect, it } from "vitest";
import { lifecycleHooks } from "#contract/names.ts";
import { type ClusterResources, createCluster } from "#lab/cloud/index.ts";
import { signedFetch } from "#lab/cloud/signed-query.ts";
import { eventually, startTestCloud, type TestCloud } from "./harness.ts";

let test: TestCloud;
let cluster: ClusterResources;
let autoScaling: AutoScalingClient;

beforeAll(async () => {
  test = await startTestCloud();
  cluster = await createCluster(test.cloud, { clusterId: "lambda", nodes: 3 });
  const { endpoint, region, operator } = test.cloud;
  autoScaling = new AutoScalingClient({ endpoint, region, credentials: operator, maxAttempts: 1 });
});
afterAll(async () => {
  await test?.close();
});

/** A zip archive with one file that is not compressed. */
const zipOf = (name: string, content: string): Buffer => {
  const [data, file] = [Buffer.from(content), Buffer.from(name)];
  const common = Buffer.alloc(26);
  common.writeUInt16LE(20, 0);
  common.writeUInt16LE(0x21, 8);
  common.writeUInt32LE(crc32(data), 10);
  common.writeUInt32LE(data.length, 14);
  common.writeUInt32LE(data.length, 18);
  common.writeUInt16LE(file.length, 22);
  const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, file, data]);
  const central = Buffer.concat([Buffer.from("PK\x01\x02\x14\x00"), common, Buffer.alloc(14), file]);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(1, 4);
  end.writeUInt16LE(1, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(local.length, 12);
  return Buffer.concat([local, central, Buffer.from("PK\x05\x06"), end]);
};

/** Completes the hook of the event, by the endpoint that the function is given. */
const code = `
export const handler = async (event) => {
  const { AutoScalingGroupName, LifecycleHookName, EC2InstanceId, LifecycleActionToken } = event.detail;
  const scope = process.env.AWS_ACCESS_KEY_ID + "/20261121/us-east-1/autoscaling/aws4_request";
  const response = await fetch(process.env.AWS_ENDPOINT_URL, {
    method: "POST",
    headers: {
      authorization: "AWS4-HMAC-SHA256 Credential=" + scope + ", SignedHeaders=host, Signature=00",
      "content-type": "application/x-www-form-urlencoded",
    },
    body: new URLSearchParams({
      Action: "CompleteLifecycleAction", Version: "2011-01-01", AutoScalingGroupName, LifecycleHookName,
      LifecycleActionToken, LifecycleActionResult: "CONTINUE",
    }).toString(),
  });
  return { status: response.status, instance: EC2InstanceId };
};
`;

const events = async (operation: string, body: unknown): Promise<unknown> => {
  const response = await signedFetch(test.cloud, "events", {
    method: "POST",
    path: "/",
    headers: { "content-type": "application/x-amz-json-1.1", "x-amz-target": `AWSEvents.${operation}` },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${operation}: ${response.status} ${await response.text()}`);
  return response.json();
};

const createFunction = (authorize: boolean): Promise<Response> => {
  const request = {
    method: "POST",
    path: "/2015-03-31/functions",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      FunctionName: "lifecycle",
      Runtime: "nodejs22.x",
      Handler: "index.handler",
      Role: `arn:aws:iam::${test.cloud.accountId}:role/lambda`,
      Timeout: 30,
      Code: { ZipFile: zipOf("index.mjs", code).toString("base64") },
    }),
  };
  const stranger = { ...test.cloud, operator: { ...test.cloud.operator, secretAccessKey: "guess" } };
  return signedFetch(authorize ? test.cloud : stranger, "lambda", request);
};

it("a function is only taken from the lab's owner: it runs on this machine", async () => {
  expect((await createFunction(false)).status).toBe(403);
  expect((await createFunction(true)).status).toBe(201);
});

it("a function that is told by an event completes the termination of an instance", async () => {
  await events("PutRule", {
    Name: "terminate",
    EventPattern: JSON.stringify({
      source: ["aws.autoscaling"],
      "detail-type": ["EC2 Instance-terminate Lifecycle Action"],
      detail: { AutoScalingGroupName: [cluster.asgName] },
    }),
  });
  const arn = `arn:aws:lambda:${test.cloud.region}:${test.cloud.accountId}:function:lifecycle`;
  await events("PutTargets", { Rule: "terminate", Targets: [{ Id: "lambda", Arn: arn }] });

  const [instance] = test.cloud.instances();
  if (instance === undefined) throw new Error("There is no instance.");
  const { instanceId } = instance;
  await autoScaling.send(
    new CompleteLifecycleActionCommand({
      AutoScalingGroupName: cluster.asgName,
      LifecycleHookName: lifecycleHooks.launch,
      InstanceId: instanceId,
      LifecycleActionResult: "CONTINUE",
    }),
  );
  await autoScaling.send(
    new TerminateInstanceInAutoScalingGroupCommand({ InstanceId: instanceId, ShouldDecrementDesiredCapacity: false }),
  );
  await eventually("the function's work", async () => {
    const { AutoScalingGroups } = await autoScaling.send(
      new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [cluster.asgName] }),
    );
    return AutoScalingGroups?.[0]?.Instances?.every(({ InstanceId }) => InstanceId !== instanceId);
  });
  expect(test.cloud.instances().find((each) => each.instanceId === instanceId)?.state).toBe("terminated");
});

it("nobody else can put events in the name of AWS", async () => {
  const answer = await events("PutEvents", {
    Entries: [{ Source: "aws.autoscaling", DetailType: "EC2 Instance-terminate Lifecycle Action", Detail: "{}" }],
  });
  expect(answer).toMatchObject({ FailedEntryCount: 1 });
});
