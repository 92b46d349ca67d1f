import {
  AttachLoadBalancerTargetGroupsCommand,
  AutoScalingClient,
  CompleteLifecycleActionCommand,
  DescribeAutoScalingGroupsCommand,
  DescribeAutoScalingInstancesCommand,
  DescribeLifecycleHooksCommand,
  PutLifecycleHookCommand,
  RecordLifecycleActionHeartbeatCommand,
  SetDesiredCapacityCommand,
  SetInstanceHealthCommand,
  SetInstanceProtectionCommand,
  TerminateInstanceInAutoScalingGroupCommand,
  UpdateAutoScalingGroupCommand,
} from "@aws-sdk/client-auto-scaling";
import {
  CreateLaunchTemplateVersionCommand,
  DescribeInstanceAttributeCommand,
  EC2Client,
  TerminateInstancesCommand,
} from "@aws-sdk/client-ec2";
import { DescribeTargetHealthCommand, ElasticLoadBalancingV2Client } from "@aws-sdk/client-elastic-load-balancing-v2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lifecycleHooks } from "#contract/names.ts";
import { type ClusterResources, createCluster } from "#lab/cloud/index.ts";
import { eventually, startTestCloud, type TestCloud } from "./harness.ts";

let test: TestCloud;
let cluster: ClusterResources;
let autoScaling: AutoScalingClient;
let ec2: EC2Client;
let balancing: ElasticLoadBalancingV2Client;

beforeAll(async () => {
  // A heartbeat of 300 s is 6 s here.
  test = await startTestCloud({ hookTimeFactor: 50 });
  const { cloud } = test;
  cluster = await createCluster(cloud, { clusterId: "hooks", nodes: 3 });
  const options = { endpoint: cloud.endpoint, region: cloud.region, credentials: cloud.operator, maxAttempts: 1 };
  autoScaling = new AutoScalingClient(options);
  ec2 = new EC2Client(options);
  balancing = new ElasticLoadBalancingV2Client(options);
  await autoScaling.send(
    new AttachLoadBalancerTargetGroupsCommand({
      AutoScalingGroupName: cluster.asgName,
      TargetGroupARNs: [cluster.writeTargetGroupArn],
    }),
  );
});
afterAll(async () => {
  await test?.close();
});

const states = async (): Promise<Map<string, string>> => {
  const { AutoScalingGroups } = await autoScaling.send(
    new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [cluster.asgName] }),
  );
  return new Map(
    (AutoScalingGroups?.[0]?.Instances ?? []).map(({ InstanceId = "", LifecycleState = "" }) => [
      InstanceId,
      LifecycleState,
    ]),
  );
};
const inState = async (state: string): Promise<string[]> =>
  [...(await states())].filter(([, seen]) => seen === state).map(([instanceId]) => instanceId);
const complete = (instanceId: string, hook: string, result: "CONTINUE" | "ABANDON" = "CONTINUE") =>
  autoScaling.send(
    new CompleteLifecycleActionCommand({
      AutoScalingGroupName: cluster.asgName,
      LifecycleHookName: hook,
      InstanceId: instanceId,
      LifecycleActionResult: result,
    }),
  );
const completeAllLaunches = async (): Promise<void> => {
  for (const instanceId of await inState("Pending:Wait")) await complete(instanceId, lifecycleHooks.launch);
};
const registered = async (): Promise<string[]> => {
  const { TargetHealthDescriptions } = await balancing.send(
    new DescribeTargetHealthCommand({ TargetGroupArn: cluster.writeTargetGroupArn }),
  );
  return (TargetHealthDescriptions ?? [])
    .filter(({ TargetHealth }) => TargetHealth?.State !== "draining")
    .map(({ Target }) => Target?.Id ?? "")
    .sort();
};
const first = (list: readonly string[]): string => {
  const [found] = list;
  if (found === undefined) throw new Error("There is none.");
  return found;
};
const ec2State = (instanceId: string) =>
  test.cloud.instances().find((instance) => instance.instanceId === instanceId)?.state;

describe("launch", () => {
  it("the first instances wait, one in each zone, outside the target groups", async () => {
    expect([...(await states()).values()]).toEqual(["Pending:Wait", "Pending:Wait", "Pending:Wait"]);
    expect(new Set(test.cloud.instances().map(({ availabilityZone }) => availabilityZone)).size).toBe(3);
    expect(await registered()).toEqual([]);
  });

  it("hooks are described as they were put", async () => {
    const { LifecycleHooks } = await autoScaling.send(
      new DescribeLifecycleHooksCommand({ AutoScalingGroupName: cluster.asgName }),
    );
    expect(LifecycleHooks).toEqual([
      {
        AutoScalingGroupName: cluster.asgName,
        LifecycleHookName: "raft-launch",
        LifecycleTransition: "autoscaling:EC2_INSTANCE_LAUNCHING",
        HeartbeatTimeout: 3600,
        GlobalTimeout: 172_800,
        DefaultResult: "ABANDON",
      },
      {
        AutoScalingGroupName: cluster.asgName,
        LifecycleHookName: "raft-terminate",
        LifecycleTransition: "autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout: 300,
        GlobalTimeout: 30_000,
        DefaultResult: "CONTINUE",
      },
    ]);
  });

  it("CONTINUE puts an instance in service and into the target groups", async () => {
    const instanceId = first(await inState("Pending:Wait"));
    await complete(instanceId, lifecycleHooks.launch);
    expect(await inState("InService")).toEqual([instanceId]);
    expect(await registered()).toEqual([instanceId]);
    const { AutoScalingInstances } = await autoScaling.send(
      new DescribeAutoScalingInstancesCommand({ InstanceIds: [instanceId] }),
    );
    expect(AutoScalingInstances?.[0]?.LifecycleState).toBe("InService");
    await expect(complete(instanceId, lifecycleHooks.launch)).rejects.toMatchObject({
      name: "ValidationError",
      message: `No active Lifecycle Action found with instance ID ${instanceId}`,
    });
  });

  it("ABANDON terminates an instance, and another one is launched", async () => {
    const instanceId = first(await inState("Pending:Wait"));
    await complete(instanceId, lifecycleHooks.launch, "ABANDON");
    expect(ec2State(instanceId)).toBe("terminated");
    const now = await states();
    expect(now.has(instanceId)).toBe(false);
    expect(now.size).toBe(3);
    await completeAllLaunches();
    expect([...(await states()).values()]).toEqual(["InService", "InService", "InService"]);
  });
});

describe("termination", () => {
  it("of a member waits for the hook while its replacement is launched", async () => {
    const instanceId = first(await inState("InService"));
    await autoScaling.send(
      new TerminateInstanceInAutoScalingGroupCommand({ InstanceId: instanceId, ShouldDecrementDesiredCapacity: false }),
    );
    expect((await states()).get(instanceId)).toBe("Terminating:Wait");
    expect(ec2State(instanceId)).toBe("running");
    expect(await registered()).not.toContain(instanceId);
    expect((await inState("Pending:Wait")).length).toBe(1);
    expect(test.cloud.instances().find((each) => each.instanceId === instanceId)).toMatchObject({
      asg: cluster.asgName,
      lifecycleState: "Terminating:Wait",
      tags: { "aws:autoscaling:groupName": cluster.asgName },
    });
    await complete(instanceId, lifecycleHooks.terminate);
    expect((await states()).has(instanceId)).toBe(false);
    expect(ec2State(instanceId)).toBe("terminated");
    await completeAllLaunches();
  });

  it("by EC2 alone is noticed, announced to the hook, and replaced", async () => {
    const instanceId = first(await inState("InService"));
    await ec2.send(new TerminateInstancesCommand({ InstanceIds: [instanceId] }));
    expect((await states()).get(instanceId)).toBe("Terminating:Wait");
    expect((await inState("Pending:Wait")).length).toBe(1);
    await complete(instanceId, lifecycleHooks.terminate);
    await completeAllLaunches();
    expect([...(await states()).values()]).toEqual(["InService", "InService", "InService"]);
  });

  it("of an unhealthy member respects the grace period unless told otherwise", async () => {
    const instanceId = first(await inState("InService"));
    const unhealthy = { InstanceId: instanceId, HealthStatus: "Unhealthy" };
    await autoScaling.send(new SetInstanceHealthCommand(unhealthy));
    expect((await states()).get(instanceId)).toBe("InService");
    await autoScaling.send(new SetInstanceHealthCommand({ ...unhealthy, ShouldRespectGracePeriod: false }));
    expect((await states()).get(instanceId)).toBe("Terminating:Wait");
    await complete(instanceId, lifecycleHooks.terminate);
    await completeAllLaunches();
  });

  it("takes the default result when nobody completes it, and heartbeats put that off", async () => {
    const instanceId = first(await inState("InService"));
    await autoScaling.send(
      new TerminateInstanceInAutoScalingGroupCommand({ InstanceId: instanceId, ShouldDecrementDesiredCapacity: false }),
    );
    const began = performance.now();
    const heartbeats = setInterval(() => {
      autoScaling
        .send(
          new RecordLifecycleActionHeartbeatCommand({
            AutoScalingGroupName: cluster.asgName,
            LifecycleHookName: lifecycleHooks.terminate,
            InstanceId: instanceId,
          }),
        )
        .catch(() => undefined);
      if (performance.now() - began > 4000) clearInterval(heartbeats);
    }, 1000);
    await eventually("the hook's default result", async () => !(await states()).has(instanceId), 30_000);
    clearInterval(heartbeats);
    // 6 s without heartbeats; the last one came after 4 s.
    expect(performance.now() - began).toBeGreaterThan(8000);
    await completeAllLaunches();
  });
});

describe("size", () => {
  it("a group that shrinks keeps its protected members, and waits for the hook of the others", async () => {
    const members = await inState("InService");
    const [kept, ...others] = members;
    await autoScaling.send(
      new SetInstanceProtectionCommand({
        AutoScalingGroupName: cluster.asgName,
        InstanceIds: others,
        ProtectedFromScaleIn: true,
      }),
    );
    await expect(
      autoScaling.send(new SetDesiredCapacityCommand({ AutoScalingGroupName: cluster.asgName, DesiredCapacity: 2 })),
    ).rejects.toMatchObject({ name: "ValidationError" });
    await autoScaling.send(
      new UpdateAutoScalingGroupCommand({ AutoScalingGroupName: cluster.asgName, MinSize: 1, DesiredCapacity: 1 }),
    );
    expect(await inState("Terminating:Wait")).toEqual([kept]);
    expect((await inState("InService")).sort()).toEqual([...others].sort());
    await complete(kept ?? "", lifecycleHooks.terminate);
    await autoScaling.send(
      new UpdateAutoScalingGroupCommand({ AutoScalingGroupName: cluster.asgName, MinSize: 3, DesiredCapacity: 3 }),
    );
    await completeAllLaunches();
    expect([...(await states()).values()]).toEqual(["InService", "InService", "InService"]);
  });

  it("a new hook holds instances that are launched after it, and no other", async () => {
    await autoScaling.send(
      new PutLifecycleHookCommand({
        AutoScalingGroupName: cluster.asgName,
        LifecycleHookName: "late",
        LifecycleTransition: "autoscaling:EC2_INSTANCE_LAUNCHING",
        HeartbeatTimeout: 600,
      }),
    );
    const old = first(await inState("InService"));
    await expect(complete(old, "late")).rejects.toMatchObject({ name: "ValidationError" });
    await autoScaling.send(
      new TerminateInstanceInAutoScalingGroupCommand({ InstanceId: old, ShouldDecrementDesiredCapacity: false }),
    );
    const fresh = first(await inState("Pending:Wait"));
    await complete(fresh, lifecycleHooks.launch);
    expect(await inState("Pending:Wait")).toEqual([fresh]);
    await complete(fresh, "late");
    expect(await inState("Pending:Wait")).toEqual([]);
  });
});

describe("a new version of the launch template", () => {
  it("is what the next instance is launched from, and the others still show theirs", async () => {
    const UserData = Buffer.from("#!/bin/sh\n").toString("base64");
    await ec2.send(
      new CreateLaunchTemplateVersionCommand({
        LaunchTemplateId: cluster.launchTemplateId,
        LaunchTemplateData: { ImageId: "ami-00000000000000002", InstanceType: "m6i.xlarge", UserData },
      }),
    );
    await autoScaling.send(
      new TerminateInstanceInAutoScalingGroupCommand({
        InstanceId: first(await inState("InService")),
        ShouldDecrementDesiredCapacity: false,
      }),
    );
    const fresh = first(await inState("Pending:Wait"));
    const { AutoScalingInstances = [] } = await autoScaling.send(new DescribeAutoScalingInstancesCommand({}));
    for (const { InstanceId, LaunchTemplate } of AutoScalingInstances) {
      expect(LaunchTemplate?.Version).toBe(InstanceId === fresh ? "2" : "1");
    }
    const { UserData: given } = await ec2.send(
      new DescribeInstanceAttributeCommand({ InstanceId: fresh, Attribute: "userData" }),
    );
    expect(given?.Value).toBe(UserData);
  });
});
