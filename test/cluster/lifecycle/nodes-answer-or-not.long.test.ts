import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AutoScalingClient,
  CompleteLifecycleActionCommand,
  DescribeAutoScalingGroupsCommand,
  TerminateInstanceInAutoScalingGroupCommand,
} from "@aws-sdk/client-auto-scaling";
import {
  DescribeTargetHealthCommand,
  ElasticLoadBalancingV2Client,
  RegisterTargetsCommand,
} from "@aws-sdk/client-elastic-load-balancing-v2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NodeStatus } from "#contract/agent-api.ts";
import { lifecycleHooks, namePrefix } from "#contract/names.ts";
import { type ClusterResources, createCluster, createLifecycleFunction } from "#lab/cloud/index.ts";
import { signedFetch } from "#lab/cloud/signed-query.ts";
import { build } from "../../../.ci/build.ts";
import { eventually, processHost, startTestCloud, type TestCloud } from "../cloud/harness.ts";

let test: TestCloud;
let cluster: ClusterResources;
let autoScaling: AutoScalingClient;
let balancing: ElasticLoadBalancingV2Client;
let folder: string;
let [works, dead]: readonly string[] = [];

/** What a node's `operation status` prints, from a folder of its own; each call leaves a line there. */
const giveStatus = async (instanceId: string, leaving?: NodeStatus["leaving"]): Promise<void> => {
  const status: NodeStatus = {
    schema: 1,
    cluster_id: cluster.clusterId,
    instance_id: instanceId,
    private_ip: "127.0.0.1",
    availability_zone: "us-east-1a",
    agent_version: "1",
    role: "unknown",
    mysql: { up: false, seen_ms_ago: 0 },
    highest_fence: 0,
    serves_writes: { ok: false, because: "a stand-in" },
    serves_reads: { ok: false, because: "a stand-in" },
    ...(leaving && { leaving }),
    problems: leaving ? [] : ["the agent does not answer"],
  };
  const bin = join(folder, instanceId);
  await mkdir(bin, { recursive: true });
  const script = `#!/bin/sh\necho asked >>${bin}/asked\ncat ${bin}/status.json\n`;
  await writeFile(join(bin, "status.json"), JSON.stringify(status));
  await writeFile(join(bin, "operation"), script, { mode: 0o755 });
};

const timesAsked = async (instanceId: string): Promise<number> =>
  (await readFile(join(folder, instanceId, "asked"), "utf8").catch(() => "")).split("\n").length - 1;

const lifecycleState = async (instanceId: string): Promise<string | undefined> => {
  const { AutoScalingGroups } = await autoScaling.send(
    new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [cluster.asgName] }),
  );
  return AutoScalingGroups?.[0]?.Instances?.find(({ InstanceId }) => InstanceId === instanceId)?.LifecycleState;
};

const complete = (hook: string, instanceId: string): Promise<unknown> =>
  autoScaling.send(
    new CompleteLifecycleActionCommand({
      AutoScalingGroupName: cluster.asgName,
      LifecycleHookName: hook,
      InstanceId: instanceId,
      LifecycleActionResult: "CONTINUE",
    }),
  );

const targets = async (arn: string): Promise<(string | undefined)[]> => {
  const { TargetHealthDescriptions } = await balancing.send(new DescribeTargetHealthCommand({ TargetGroupArn: arn }));
  const staying = TargetHealthDescriptions?.filter(({ TargetHealth }) => TargetHealth?.State !== "draining");
  return staying?.map(({ Target }) => Target?.Id) ?? [];
};

beforeAll(async () => {
  test = await startTestCloud();
  const [built] = await build({ parts: ["node"] });
  cluster = await createCluster(test.cloud, { clusterId: "terminations", nodes: 3 });
  await createLifecycleFunction(test.cloud, cluster, join(built?.directory ?? "", "raft-lifecycle.mjs"));
  folder = await mkdtemp(join(tmpdir(), "terminations-"));
  const { endpoint, region, operator } = test.cloud;
  const client = { endpoint, region, credentials: operator, maxAttempts: 1 };
  autoScaling = new AutoScalingClient(client);
  balancing = new ElasticLoadBalancingV2Client(client);
  test.cloud.attachNodes({
    isOn: () => true,
    run: (instanceId, command) =>
      processHost(new Set(), { PERCONA_ACTIONS_BIN: join(folder, instanceId) }).run(instanceId, command),
  });
  const ids = test.cloud.instances().map(({ instanceId }) => instanceId);
  [works, dead] = ids;
  for (const id of ids) await complete(lifecycleHooks.launch, id);
  for (const TargetGroupArn of [cluster.writeTargetGroupArn, cluster.readTargetGroupArn]) {
    await balancing.send(new RegisterTargetsCommand({ TargetGroupArn, Targets: ids.map((Id) => ({ Id })) }));
  }
});
afterAll(async () => {
  await test?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** Calls the function and waits for its answer. */
const call = async (detail: Record<string, string>): Promise<unknown> => {
  const response = await signedFetch(test.cloud, "lambda", {
    method: "POST",
    path: `/2015-03-31/functions/${namePrefix(cluster.clusterId)}-raft-lifecycle/invocations`,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      source: "aws.autoscaling",
      "detail-type": "EC2 Instance-terminate Lifecycle Action",
      detail: { AutoScalingGroupName: cluster.asgName, LifecycleHookName: lifecycleHooks.terminate, ...detail },
    }),
  });
  return response.json();
};

describe("two nodes are terminated at once, and the agent of one is dead", () => {
  it("the dead one is taken out and goes long before its hook's time; the other one is left to itself", async () => {
    if (works === undefined || dead === undefined) throw new Error("There are no instances.");
    await giveStatus(works, "leaving");
    await giveStatus(dead);
    for (const InstanceId of [works, dead]) {
      await autoScaling.send(
        new TerminateInstanceInAutoScalingGroupCommand({ InstanceId, ShouldDecrementDesiredCapacity: false }),
      );
    }
    await eventually("the end of the dead one", async () => (await lifecycleState(dead ?? "")) === undefined, 120_000);
    expect(test.cloud.instances().find(({ instanceId }) => instanceId === dead)?.state).toBe("terminated");

    expect(await timesAsked(works)).toBeGreaterThanOrEqual(3);
    expect(await lifecycleState(works)).toBe("Terminating:Wait");
    for (const arn of [cluster.writeTargetGroupArn, cluster.readTargetGroupArn]) {
      expect(await targets(arn)).toContain(works);
      expect(await targets(arn)).not.toContain(dead);
    }
    await complete(lifecycleHooks.terminate, works);
    await eventually("the end of the other", async () => (await lifecycleState(works ?? "")) === undefined);
  });

  it("the event of one that is gone, and those that concern nobody here, change nothing", async () => {
    expect(await call({ EC2InstanceId: dead ?? "" })).toMatchObject({ outcome: "not-ours" });
    const other = { AutoScalingGroupName: "other", EC2InstanceId: dead ?? "" };
    expect(await call(other)).toMatchObject({ outcome: "ignored" });
    expect(await call({ LifecycleHookName: "other", EC2InstanceId: dead ?? "" })).toMatchObject({ outcome: "ignored" });
  });
});
