import type { AutoScalingClient } from "@aws-sdk/client-auto-scaling";
import { EC2Client } from "@aws-sdk/client-ec2";
import type { ElasticLoadBalancingV2Client } from "@aws-sdk/client-elastic-load-balancing-v2";
import { describe, expect, it } from "vitest";
import { makeAutoScaling } from "#node/lib/aws/autoscaling.ts";
import { makeEc2 } from "#node/lib/aws/ec2.ts";
import { makeTargetGroups } from "#node/lib/aws/elbv2.ts";
import { fakeClient, type SentCall, sdkError } from "./fake-client.ts";

const id = "i-0123456789abcdef0";

describe("Auto Scaling", () => {
  const groupsOf = (answer: (call: SentCall) => unknown) => {
    const { calls, as } = fakeClient<AutoScalingClient>(answer);
    return { calls, groups: makeAutoScaling({ autoScaling: as }) };
  };

  it("describes a group with the state, health and protection of each instance", async () => {
    const { groups } = groupsOf(() => ({
      AutoScalingGroups: [
        {
          MinSize: 3,
          MaxSize: 5,
          DesiredCapacity: 3,
          Instances: [
            {
              InstanceId: id,
              AvailabilityZone: "eu-west-1a",
              LifecycleState: "Pending:Wait",
              HealthStatus: "Healthy",
              ProtectedFromScaleIn: true,
            },
          ],
        },
      ],
    }));
    expect(await groups.describeGroup("g")).toEqual({
      name: "g",
      minSize: 3,
      maxSize: 5,
      desiredCapacity: 3,
      instances: [
        {
          instanceId: id,
          availabilityZone: "eu-west-1a",
          lifecycleState: "Pending:Wait",
          healthy: true,
          protectedFromScaleIn: true,
        },
      ],
    });
  });

  it("knows no group of another name, and no state of an instance outside any group", async () => {
    const { groups } = groupsOf(() => ({ AutoScalingGroups: [], AutoScalingInstances: [] }));
    expect(await groups.describeGroup("g")).toBeUndefined();
    expect(await groups.instanceLifecycle(id)).toBeUndefined();
  });

  it("calls an instance healthy in the capitals of the other call too", async () => {
    const { groups } = groupsOf(() => ({
      AutoScalingInstances: [
        { InstanceId: id, AutoScalingGroupName: "g", HealthStatus: "HEALTHY", LifecycleState: "InService" },
      ],
    }));
    expect(await groups.instanceLifecycle(id)).toMatchObject({
      group: "g",
      healthy: true,
      lifecycleState: "InService",
    });
  });

  it("completes the action of the hook and keeps it alive until then", async () => {
    const { groups, calls } = groupsOf(() => ({}));
    expect(await groups.recordHeartbeat("hook", "g", id)).toBe("done");
    expect(await groups.completeLifecycleAction("hook", "g", id, "CONTINUE")).toBe("done");
    expect(calls.map(({ name }) => name)).toEqual(["RecordLifecycleActionHeartbeat", "CompleteLifecycleAction"]);
    expect(calls[1]?.input).toEqual({
      LifecycleHookName: "hook",
      AutoScalingGroupName: "g",
      InstanceId: id,
      LifecycleActionResult: "CONTINUE",
    });
  });

  it.each([
    `No active Lifecycle Action found with instance ID ${id}`,
    "No active Lifecycle Action found with token f66c3d47",
  ])("a node that was launched before the hook existed has no action to complete (%s)", async (message) => {
    const { groups } = groupsOf(() => {
      throw sdkError("ValidationError", message);
    });
    expect(await groups.completeLifecycleAction("hook", "g", id, "CONTINUE")).toBe("no-pending-action");
    expect(await groups.recordHeartbeat("hook", "g", id)).toBe("no-pending-action");
  });

  it("other validation errors are errors", async () => {
    const { groups } = groupsOf(() => {
      throw sdkError("ValidationError", "Group g not found");
    });
    await expect(groups.completeLifecycleAction("hook", "g", id, "CONTINUE")).rejects.toMatchObject({
      reason: "internal",
      message: expect.stringMatching(
        /autoscaling:CompleteLifecycleAction on hook hook of instance .*Group g not found/,
      ),
    });
  });

  it("sets and lifts scale-in protection", async () => {
    const { groups, calls } = groupsOf(() => ({}));
    await groups.setScaleInProtection("g", id, true);
    await groups.setScaleInProtection("g", id, false);
    expect(calls.map(({ input }) => input.ProtectedFromScaleIn)).toEqual([true, false]);
  });
});

describe("EC2", () => {
  // The SDK's paginator insists on a client of its own class.
  const ec2Of = (answer: (call: SentCall) => unknown) => {
    const { calls, as } = fakeClient<EC2Client>(answer);
    return {
      calls,
      ec2: makeEc2({
        ec2: async () =>
          Object.assign(new EC2Client({ region: "eu-west-1" }), { send: (await as()).send }) as EC2Client,
      }),
    };
  };
  const seen = (instanceId: string) => ({
    InstanceId: instanceId,
    PrivateIpAddress: "127.0.11.5",
    Placement: { AvailabilityZone: "eu-west-1a" },
    State: { Name: "running" },
    Tags: [{ Key: "cluster_id", Value: "x" }],
  });

  it("finds the instances of a cluster on all pages of the answer", async () => {
    const { ec2, calls } = ec2Of(({ input }) =>
      input.NextToken === undefined
        ? { Reservations: [{ Instances: [seen("i-00000001")] }], NextToken: "2" }
        : { Reservations: [{ Instances: [seen("i-00000002")] }, { Instances: [seen("i-00000003")] }] },
    );
    const found = await ec2.describeInstances({ clusterId: "x" });
    expect(found.map(({ instanceId }) => instanceId)).toEqual(["i-00000001", "i-00000002", "i-00000003"]);
    expect(found[0]).toMatchObject({ privateIp: "127.0.11.5", state: "running", tags: { cluster_id: "x" } });
    expect(calls[0]?.input.Filters).toContainEqual({ Name: "tag:cluster_id", Values: ["x"] });
  });

  it("asks nothing about no instances", async () => {
    const { ec2, calls } = ec2Of(() => ({}));
    expect(await ec2.describeInstances({ ids: [] })).toEqual([]);
    expect(calls).toEqual([]);
  });

  it("tags one instance, and names the permission when that is refused", async () => {
    const { ec2, calls } = ec2Of(() => ({}));
    await ec2.tagInstance(id, { mysql_role: "master" });
    expect(calls[0]?.input).toEqual({ Resources: [id], Tags: [{ Key: "mysql_role", Value: "master" }] });
    const refused = ec2Of(() => {
      throw sdkError("UnauthorizedOperation", "You are not authorized to perform this operation.");
    });
    await expect(refused.ec2.tagInstance(id, { mysql_role: "master" })).rejects.toMatchObject({
      reason: "permission-denied",
      message: expect.stringMatching(/perform this operation\.$/),
      next: expect.stringContaining("Allow ec2:CreateTags"),
    });
  });
});

describe("target groups", () => {
  const targetsOf = (answer: (call: SentCall) => unknown) => {
    const { calls, as } = fakeClient<ElasticLoadBalancingV2Client>(answer);
    return { calls, groups: makeTargetGroups({ elbv2: as }) };
  };

  it("tell a target that is not registered from one that is unhealthy", async () => {
    const { groups } = targetsOf(() => ({
      TargetHealthDescriptions: [
        {
          Target: { Id: id },
          TargetHealth: { State: "unused", Reason: "Target.NotRegistered", Description: "not registered" },
        },
      ],
    }));
    expect(await groups.targetHealth("arn", id)).toMatchObject({ registered: false, state: "unused" });
    const unhealthy = targetsOf(() => ({
      TargetHealthDescriptions: [
        { Target: { Id: id }, TargetHealth: { State: "unhealthy", Reason: "Target.FailedHealthChecks" } },
      ],
    }));
    expect(await unhealthy.groups.targets("arn")).toEqual([
      { instanceId: id, state: "unhealthy", registered: true, description: undefined },
    ]);
  });

  it("take an instance in and out", async () => {
    const { groups, calls } = targetsOf(() => ({}));
    await groups.register("arn", id);
    await groups.deregister("arn", id);
    expect(calls).toEqual([
      { name: "RegisterTargets", input: { TargetGroupArn: "arn", Targets: [{ Id: id }] } },
      { name: "DeregisterTargets", input: { TargetGroupArn: "arn", Targets: [{ Id: id }] } },
    ]);
  });

  it("do not mind that another was quicker to take an instance out, and mind everything else", async () => {
    const quicker = targetsOf(() => {
      throw sdkError("InvalidTargetException");
    });
    await quicker.groups.deregister("arn", id);
    await expect(quicker.groups.register("arn", id)).rejects.toThrow("InvalidTargetException");
    const denied = targetsOf(() => {
      throw sdkError("AccessDeniedException");
    });
    await expect(denied.groups.deregister("arn", id)).rejects.toMatchObject({ reason: "permission-denied" });
  });
});
