import { describe, expect, it } from "vitest";
import { readEvent } from "#node/lib/lifecycle/event.ts";
import { readSettings } from "#node/lib/lifecycle/settings.ts";

const instance = "i-0123456789abcdef0";
const event = (change: { type?: string; source?: string; detail?: object } = {}): unknown => ({
  version: "0",
  source: change.source ?? "aws.autoscaling",
  "detail-type": change.type ?? "EC2 Instance-terminate Lifecycle Action",
  detail: {
    LifecycleActionToken: "630aa23f-48eb-45e7-aba6-799ea6093a0f",
    AutoScalingGroupName: "percona-c1",
    LifecycleHookName: "raft-terminate",
    EC2InstanceId: instance,
    LifecycleTransition: "autoscaling:EC2_INSTANCE_TERMINATING",
    ...change.detail,
  },
});

describe("an event", () => {
  it("of our hook of our group names the instance", () => {
    expect(readEvent(event(), "percona-c1")).toEqual({ terminate: instance });
  });

  it.each<[string, unknown, string]>([
    ["of another group", event({ detail: { AutoScalingGroupName: "percona-c2" } }), "percona-c2"],
    ["of somebody else's hook", event({ detail: { LifecycleHookName: "drain-logs" } }), "drain-logs"],
    [
      "of a launch",
      event({ type: "EC2 Instance-launch Lifecycle Action", detail: { LifecycleHookName: "raft-launch" } }),
      "completes its own hook",
    ],
    ["of a termination that is over", event({ type: "EC2 Instance Terminate Successful" }), "Terminate Successful"],
    ["of another source", event({ source: "aws.ec2" }), "no lifecycle action: source"],
    ["with an instance id that is none", event({ detail: { EC2InstanceId: "$(reboot)" } }), "EC2InstanceId"],
    ["of a scheduled call", { source: "aws.events", detail: {} }, "no lifecycle action"],
    ["that is nothing", undefined, "no lifecycle action"],
  ])("%s asks for nothing", (_, given, because) => {
    expect(readEvent(given, "percona-c1")).toEqual({
      terminate: undefined,
      because: expect.stringContaining(because),
    });
  });
});

describe("the function's environment", () => {
  const environment = {
    CLUSTER_ID: "c1",
    ASG_NAME: "percona-c1",
    WRITE_TARGET_GROUP_ARN: "arn:aws:w",
    READ_TARGET_GROUP_ARN: "arn:aws:r",
    AWS_REGION: "eu-west-1",
  };

  it("is read", () => {
    expect(readSettings(environment)).toEqual({
      clusterId: "c1",
      asgName: "percona-c1",
      targetGroupArns: ["arn:aws:w", "arn:aws:r"],
      region: "eu-west-1",
    });
  });

  it("is refused with every variable that is wrong", () => {
    const { ASG_NAME: _, ...wrong } = { ...environment, CLUSTER_ID: "C 1", READ_TARGET_GROUP_ARN: "read" };
    expect(() => readSettings(wrong)).toThrow(/CLUSTER_ID: .*ASG_NAME: .*READ_TARGET_GROUP_ARN: /);
  });
});
