import {
  AutoScalingClient,
  CompleteLifecycleActionCommand,
  DescribeAutoScalingGroupsCommand,
  TerminateInstanceInAutoScalingGroupCommand,
} from "@aws-sdk/client-auto-scaling";
import { afterAll, beforeAll, expect, it } from "vitest";
import { lifecycleHooks } from "#contract/names.ts";
import { callOnTermination, createFunction, eventBridge } from "#lab/cloud/functions.ts";
import { type ClusterResources, createCluster } from "#lab/cloud/index.ts";
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

const makeFunction = (authorize: boolean): Promise<Response> => {
  const stranger = { ...test.cloud, operator: { ...test.cloud.operator, secretAccessKey: "guess" } };
  return createFunction(authorize ? test.cloud : stranger, { name: "lifecycle", code, timeoutSeconds: 30 });
};

it("a function is only taken from the lab's owner: it runs on this machine", async () => {
  expect((await makeFunction(false)).status).toBe(403);
  expect((await makeFunction(true)).status).toBe(201);
});

it("a function that is told by an event completes the termination of an instance", async () => {
  await callOnTermination(test.cloud, cluster.asgName, "lifecycle");

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
  const answer = await eventBridge(test.cloud, "PutEvents", {
    Entries: [{ Source: "aws.autoscaling", DetailType: "EC2 Instance-terminate Lifecycle Action", Detail: "{}" }],
  });
  expect(answer).toMatchObject({ FailedEntryCount: 1 });
});
