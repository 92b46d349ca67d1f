import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AutoScalingClient, CompleteLifecycleActionCommand } from "@aws-sdk/client-auto-scaling";
import { DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { CreateTagsCommand, EC2Client } from "@aws-sdk/client-ec2";
import {
  DescribeTargetHealthCommand,
  ElasticLoadBalancingV2Client,
  RegisterTargetsCommand,
} from "@aws-sdk/client-elastic-load-balancing-v2";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { marshall } from "@aws-sdk/util-dynamodb";
import * as v from "valibot";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { NodeStatus } from "#contract/agent-api.ts";
import { ClusterStatus } from "#contract/cluster-status.ts";
import { lifecycleHooks } from "#contract/names.ts";
import { s3Keys } from "#contract/s3-layout.ts";
import { itemKey } from "#contract/table.ts";
import { roleTagValue, tags } from "#contract/tags.ts";
import { type ActInstall, ensureAct, reportLines } from "#lab/cache/index.ts";
import { type ClusterResources, createCluster, type NodeCommandResult } from "#lab/cloud/index.ts";
import { assembleRelease } from "../../.ci/assemble-release.ts";
import { eventually, type FakeNode, startFakeNode, startTestCloud, type TestCloud } from "../cluster/cloud/harness.ts";
import { A, B, manifest, nodeStatus, record } from "../unit/actions/status/situations.ts";
import { runThroughAct, statusWorkflow } from "./run-act.ts";
import { runActionFromTree } from "./run-action.ts";

const clusterId = "orders";
let work: string;
let tree: string;
let test: TestCloud;
let cluster: ClusterResources;
let act: ActInstall;
const fakes: FakeNode[] = [];
/** Instances in their order; the first is the primary. */
const ids: string[] = [];
const addresses: string[] = [];
/** What each node's script prints; `off` nodes have no SSM agent. */
const statuses = new Map<string, NodeStatus>();
const off = new Set<string>();
const scripts: string[] = [];

/** What the agent of the `n`-th node says when all is well. */
const wellStatus = (n: number): NodeStatus => {
  const base = nodeStatus(n === 0 ? A : B);
  const { replication } = base.mysql;
  return {
    ...base,
    cluster_id: clusterId,
    instance_id: ids[n] ?? "",
    private_ip: addresses[n] ?? "",
    mysql: {
      ...base.mysql,
      ...(replication === undefined ? {} : { replication: { ...replication, source_host: addresses[0] ?? "" } }),
    },
  };
};

const runOnNode = async (instanceId: string, script: readonly string[]): Promise<NodeCommandResult> => {
  scripts.push(script.join("\n"));
  return { exitCode: 0, stdout: `${JSON.stringify(statuses.get(instanceId))}\n`, stderr: "", timedOut: false };
};

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "percona-status-"));
  act = await ensureAct(reportLines((line) => console.log(line)));
  tree = (await assembleRelease({ into: join(work, "tree") })).directory;
  test = await startTestCloud({ timeFactor: 100 });
  const { cloud } = test;
  cluster = await createCluster(cloud, { clusterId, nodes: 3 });
  cloud.attachNodes({ isOn: (id) => !off.has(id), run: (id, { script }) => runOnNode(id, script) });
  for (const { instanceId, privateIp } of cloud.instances()) {
    ids.push(instanceId);
    addresses.push(privateIp);
    fakes.push(await startFakeNode(privateIp));
  }
  const options = { endpoint: cloud.endpoint, region: cloud.region, credentials: cloud.operator };
  const [ec2, autoScaling, balancing] = [
    new EC2Client(options),
    new AutoScalingClient(options),
    new ElasticLoadBalancingV2Client(options),
  ];
  for (const [n, InstanceId] of ids.entries()) {
    const Value = n === 0 ? roleTagValue.primary : roleTagValue.replica;
    await ec2.send(new CreateTagsCommand({ Resources: [InstanceId], Tags: [{ Key: tags.role, Value }] }));
    const hook = { AutoScalingGroupName: cluster.asgName, LifecycleHookName: lifecycleHooks.launch, InstanceId };
    await autoScaling.send(new CompleteLifecycleActionCommand({ ...hook, LifecycleActionResult: "CONTINUE" }));
  }
  // Nodes register themselves; these are fakes, so it is done for them.
  for (const TargetGroupArn of [cluster.writeTargetGroupArn, cluster.readTargetGroupArn]) {
    await balancing.send(new RegisterTargetsCommand({ TargetGroupArn, Targets: ids.map((Id) => ({ Id })) }));
    await eventually("the group's targets are healthy", async () => {
      const { TargetHealthDescriptions } = await balancing.send(new DescribeTargetHealthCommand({ TargetGroupArn }));
      return TargetHealthDescriptions?.every((each) => each.TargetHealth?.State === "healthy") ?? false;
    });
  }
  const Item = marshall({
    ...record,
    pk: itemKey.topology(clusterId),
    instance_id: ids[0],
    private_ip: addresses[0],
    ackers: ids.slice(1).map((instance_id) => ({ instance_id, incarnation: "1" })),
  });
  await new DynamoDBClient(options).send(new PutItemCommand({ TableName: cluster.tableName, Item }));
  const Key = s3Keys.manifest(clusterId, "full", manifest.time);
  const s3 = new S3Client({ ...options, forcePathStyle: true });
  await s3.send(new PutObjectCommand({ Bucket: cluster.bucket, Key, Body: JSON.stringify(manifest) }));
  // Newer and unfinished: no backup.
  const unfinished = s3Keys.backupData(clusterId, "full", "2026-11-21T09-00-00Z", 1, "tar.zst");
  await s3.send(new PutObjectCommand({ Bucket: cluster.bucket, Key: unfinished, Body: "x" }));
  ids.forEach((id, n) => {
    statuses.set(id, wellStatus(n));
  });
});

afterEach(() => {
  off.clear();
  test.cloud.faults.clear();
  ids.forEach((id, n) => {
    statuses.set(id, wellStatus(n));
  });
});

afterAll(async () => {
  for (const fake of fakes) await fake.close();
  await test?.close();
  await rm(work, { recursive: true, force: true });
});

const status = (inputs: Record<string, string> = {}) =>
  runActionFromTree({
    tree,
    action: "status",
    inputs: { "cluster-id": clusterId, ...inputs },
    env: test.cloud.operatorEnvironment(),
    timeoutMs: 120_000,
  });

describe("the status action against AWS's protocols", () => {
  it("tells a healthy cluster", async () => {
    const started = performance.now();
    const run = await status();
    console.log(`the status of three nodes took ${Math.round(performance.now() - started)} ms`);
    expect(run.exitCode, run.log).toBe(0);
    expect(run.outputs).toMatchObject({
      verdict: "healthy",
      healthy: "true",
      "primary-instance-id": ids[0],
      disagreements: "[]",
      "failure-reason": "",
    });
    const told = v.parse(ClusterStatus, JSON.parse(run.outputs.status ?? ""));
    expect(told).toMatchObject({ cluster_id: clusterId, current_operation: "NONE", fence: record.fence });
    expect(told.last_backup?.time).toBe(manifest.time);
    const nodes = new Map(told.nodes.map((node) => [node.instance_id, node]));
    expect(nodes.get(ids[0] ?? "")).toMatchObject({
      role: "primary",
      private_ip: addresses[0],
      availability_zone: test.cloud.instances().find(({ instanceId }) => instanceId === ids[0])?.availabilityZone,
      lifecycle_state: "InService",
      writable: true,
      write_target: "in",
      read_target: "in",
      version: "9.7.4",
    });
    for (const id of ids.slice(1)) {
      expect(nodes.get(id)).toMatchObject({
        role: "replica",
        writable: false,
        lag_seconds: 0,
        read_target: "in",
        acker: true,
      });
    }
    expect(run.summary).toMatch(/^## 🟢 <code>orders<\/code> is healthy/);
    expect(scripts.length).toBe(3);
    for (const script of scripts) expect(script).toMatch(/^"\$\{PERCONA_ACTIONS_BIN:-[^"]*\/operation" status$/);
  });

  it("tells all clusters when none is named", async () => {
    const run = await status({ "cluster-id": "" });
    const told = v.parse(v.array(ClusterStatus), JSON.parse(run.outputs.status ?? ""));
    expect(told.map(({ cluster_id, verdict }) => [cluster_id, verdict])).toEqual([[clusterId, "healthy"]]);
    expect(run.outputs["primary-instance-id"]).toBe(ids[0]);
  });

  it("tells a node whose SSM agent does not answer, and fails only when asked to", async () => {
    off.add(ids[2] ?? "");
    const [lenient, strict] = await Promise.all([status(), status({ "fail-on": "degraded" })]);
    expect(lenient.exitCode, lenient.log).toBe(0);
    expect(JSON.parse(lenient.outputs.disagreements ?? "")).toMatchObject([
      { cluster_id: clusterId, kind: "node-unreachable", severity: "warning", instance_ids: [ids[2]] },
    ]);
    expect(lenient.log).toMatch(/^::warning title=Status%3A degraded::orders is degraded/m);
    expect(strict).toMatchObject({
      exitCode: 1,
      outputs: { verdict: "degraded", "failure-reason": "cluster-unhealthy" },
    });
    expect(strict.summary).toMatch(/^## 🟡 /);
  });

  it("finds two writable nodes, and fails", async () => {
    const open = wellStatus(1);
    statuses.set(ids[1] ?? "", { ...open, mysql: { ...open.mysql, read_only: false, super_read_only: false } });
    const run = await status();
    expect(run).toMatchObject({ exitCode: 1, outputs: { verdict: "critical", "failure-reason": "cluster-unhealthy" } });
    expect(JSON.parse(run.outputs.disagreements ?? "")).toMatchObject([{ kind: "two-writable-nodes" }]);
    expect(run.log).toContain("Nothing was changed: this action only reads.");
  });

  it("finds a replica with transactions of its own", async () => {
    const own = wellStatus(1);
    const errant = `${own.mysql.gtid_executed},${own.mysql.server_uuid}:1-3`;
    statuses.set(ids[1] ?? "", { ...own, mysql: { ...own.mysql, gtid_executed: errant } });
    const run = await status({ "fail-on": "never" });
    expect(run.exitCode).toBe(0);
    expect(JSON.parse(run.outputs.disagreements ?? "")).toMatchObject([
      {
        kind: "errant-transactions",
        instance_ids: [ids[1]],
        seen: expect.stringContaining(`${own.mysql.server_uuid}:1-3`),
      },
    ]);
  });

  it.each([
    ["ec2", "DescribeInstances", "ec2:DescribeInstances"],
    ["autoscaling", "DescribeAutoScalingInstances", "autoscaling:DescribeAutoScalingInstances"],
    ["elasticloadbalancing", "DescribeTargetHealth", "elasticloadbalancing:DescribeTargetHealth"],
    ["dynamodb", "GetItem", "dynamodb:GetItem"],
    ["dynamodb", "Scan", "dynamodb:Scan"],
    ["s3", undefined, "s3:ListBucket"],
    ["ssm", "SendCommand", "ssm:SendCommand"],
    ["ssm", "GetCommandInvocation", "ssm:GetCommandInvocation"],
  ])("names the call when %s refuses %s", async (service, operation, action) => {
    test.cloud.faults.add({
      match: { service, ...(operation === undefined ? {} : { operation }) },
      effect: { kind: "deny" },
    });
    const run = await status();
    expect(run.outputs, run.log).toMatchObject({ "failure-reason": "permission-denied" });
    expect(run.log).toContain(`AWS refused ${action} on `);
  });

  it("ends at its timeout when a store never answers", async () => {
    test.cloud.faults.add({ match: { service: "dynamodb" }, effect: { kind: "black-hole" } });
    const started = performance.now();
    const run = await status({ timeout: "10s" });
    expect(run.outputs).toEqual({ "failure-reason": "timed-out" });
    expect(run.log).toMatch(
      /within 10 s\. dynamodb:GetItem on percona-orders-locks, item topology-orders had not answered/,
    );
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it("is green in a workflow, through act", async ({ skip }) => {
    if (!act.available) {
      console.warn(`SKIPPED: ${act.how}`);
      skip(act.how);
      return;
    }
    const workflow = statusWorkflow(clusterId);
    const run = await runThroughAct({ act: act.act, tree, workflow, env: test.cloud.operatorEnvironment() });
    const [step] = run.steps.filter(({ id }) => id === "status");
    expect(step, run.log).toMatchObject({
      result: "success",
      outputs: { verdict: "healthy", "primary-instance-id": ids[0] },
    });
    expect(step?.summary).toMatch(/^## 🟢 <code>orders<\/code> is healthy/);
    expect(run.jobs).toEqual({ status: "success" });
  });
});
