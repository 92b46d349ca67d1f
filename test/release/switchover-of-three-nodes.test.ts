import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DynamoDBClient, GetItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { CreateTagsCommand, EC2Client, RunInstancesCommand } from "@aws-sdk/client-ec2";
import { marshall, unmarshall } from "@aws-sdk/util-dynamodb";
import * as v from "valibot";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { LeaseItem } from "#contract/lease.ts";
import { type OperationPlan, OperationRecord } from "#contract/operation.ts";
import { hashKey, itemKey } from "#contract/table.ts";
import { roleTagValue, tags } from "#contract/tags.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { ensureAct, reportLines } from "#lab/cache/index.ts";
import { type ClusterResources, createCluster, type NodeCommandResult } from "#lab/cloud/index.ts";
import { assembleRelease } from "../../.ci/assemble-release.ts";
import { eventually, startTestCloud, type TestCloud } from "../cluster/cloud/harness.ts";
import { plan as samplePlan, topology as sampleTopology } from "../unit/actions/switchover/samples.ts";
import { runThroughAct } from "./run-act.ts";
import { runActionFromTree } from "./run-action.ts";

/** The actions against AWS's protocols; what a node's scripts do is played here, with the record as they write it. */
const clusterId = "orders";
let work: string;
let tree: string;
let test: TestCloud;
let cluster: ClusterResources;
let dynamodb: DynamoDBClient;
const ids: string[] = [];
const addresses: string[] = [];
/** Instances whose SSM agent does not answer. */
const off = new Set<string>();
/** What the `n`-th node was asked, such as `plan` and `apply op-1`. */
const asked: { readonly node: number; readonly what: string }[] = [];
let plan: OperationPlan;
/** What becomes of an operation that a node begins. */
let fate: "succeeds" | "is undone" | "never begins" | "loses its runner" | "waits";

const put = (item: Record<string, unknown>) =>
  dynamodb.send(
    new PutItemCommand({ TableName: cluster.tableName, Item: marshall(item, { removeUndefinedValues: true }) }),
  );

const recordOf = async (operationId: string): Promise<OperationRecord | undefined> => {
  const Key = { [hashKey]: { S: itemKey.operation(clusterId, operationId) } };
  const { Item } = await dynamodb.send(new GetItemCommand({ TableName: cluster.tableName, Key, ConsistentRead: true }));
  return Item === undefined ? undefined : v.parse(OperationRecord, unmarshall(Item));
};

let writes = 0;
const change = async (operationId: string, fields: Partial<OperationRecord>): Promise<OperationRecord> => {
  const record = await recordOf(operationId);
  if (record === undefined) throw new Error(`There is no record of ${operationId}.`);
  const changed = { ...record, ...fields, rvn: `w-${++writes}`, heartbeat_at: new Date().toISOString() };
  await put(changed);
  return changed;
};

const topologyItem = (primary: number, operationId?: string): TopologyRecord => ({
  ...sampleTopology,
  pk: itemKey.topology(clusterId),
  instance_id: ids[primary] ?? "",
  private_ip: addresses[primary] ?? "",
  fence: 7 + primary,
  ...(operationId === undefined ? {} : { operation_id: operationId }),
});

const succeed = async (operationId: string): Promise<void> => {
  const { steps } = await change(operationId, { state: "running" });
  await put(topologyItem(1, operationId));
  await change(operationId, {
    state: "succeeded",
    ended_at: new Date().toISOString(),
    steps: steps.map((step) => ({ ...step, state: "done", duration_ms: 12 })),
    result: {
      changed: true,
      before: { instance_id: ids[0], private_ip: addresses[0], fence: 7 },
      after: { instance_id: ids[1], private_ip: addresses[1], fence: 8 },
      writes_refused_ms: 43,
      sessions_ended: 8,
    },
  });
};

const end = (operationId: string, fields: Partial<OperationRecord>) =>
  change(operationId, { ended_at: new Date().toISOString(), ...fields });

/** The operation as its unit on the node runs it. */
const unit = async (operationId: string): Promise<void> => {
  if (fate === "succeeds") await succeed(operationId);
  if (fate === "is undone") {
    await end(operationId, {
      state: "undone",
      failure_reason: "timed-out",
      failure_message: "The candidate did not catch up within 60 s. All was undone. Look at its load.",
    });
  }
  if (fate === "loses its runner" || fate === "waits") await change(operationId, { state: "running" });
};

const script = async (node: number, environment: Readonly<Record<string, string>>): Promise<NodeCommandResult> => {
  const mode = environment.SSM_Mode ?? "";
  const operationId = environment.SSM_OperationId ?? "-";
  asked.push({ node, what: operationId === "-" ? mode : `${mode} ${operationId}` });
  const prints = (value: unknown, exitCode = 0): NodeCommandResult => ({
    exitCode,
    stdout: `${JSON.stringify(value)}\n`,
    stderr: "",
    timedOut: false,
  });
  switch (mode) {
    case "plan":
      return prints(plan);
    case "apply":
      if (fate === "never begins") {
        const next = "Repair it.";
        return prints(
          {
            failure_reason: "credentials-missing",
            message: "The secret is gone.",
            changed: "Nothing was changed.",
            next,
          },
          1,
        );
      }
      await unit(operationId);
      return prints({ operation_id: operationId, state: "running", unit: `percona-operation-${operationId}` });
    case "abort": {
      const wanted = { abort_requested_at: new Date().toISOString(), abort_requested_by: environment.SSM_RequestedBy };
      const record = await change(operationId, wanted as Partial<OperationRecord>);
      await end(operationId, { state: "aborted" });
      return prints(record);
    }
    default:
      await succeed(operationId);
      return prints(await recordOf(operationId));
  }
};

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "percona-switchover-"));
  tree = (await assembleRelease({ into: join(work, "tree") })).directory;
  test = await startTestCloud({ timeFactor: 100 });
  const { cloud } = test;
  cluster = await createCluster(cloud, { clusterId, nodes: 3 });
  const options = { endpoint: cloud.endpoint, region: cloud.region, credentials: cloud.operator };
  dynamodb = new DynamoDBClient(options);
  for (const { instanceId, privateIp } of cloud.instances()) {
    ids.push(instanceId);
    addresses.push(privateIp);
  }
  cloud.attachNodes({
    isOn: (id) => !off.has(id),
    run: (id, { environment }) => script(ids.indexOf(id), environment),
  });
  const ec2 = new EC2Client(options);
  for (const [n, InstanceId] of ids.entries()) {
    const Value = n === 0 ? roleTagValue.primary : roleTagValue.replica;
    await ec2.send(new CreateTagsCommand({ Resources: [InstanceId], Tags: [{ Key: tags.role, Value }] }));
  }
});

beforeEach(async () => {
  fate = "succeeds";
  asked.length = 0;
  await put(topologyItem(0));
  plan = {
    ...samplePlan,
    node: ids[1] ?? "",
    decided: {
      primary: ids[0],
      candidate: ids[1],
      nodes: ids.map((instance_id) => ({ instance_id, version: "9.7.4" })),
    },
  };
});

afterEach(async () => {
  off.clear();
  test.cloud.faults.clear();
});

afterAll(async () => {
  await test?.close();
  await rm(work, { recursive: true, force: true });
});

const act = (action: "switchover" | "operation", inputs: Record<string, string>, env: Record<string, string> = {}) =>
  runActionFromTree({
    tree,
    action,
    inputs: { "cluster-id": clusterId, ...inputs },
    env: { ...test.cloud.operatorEnvironment(), ...env },
    timeoutMs: 120_000,
  });

const apply = (operationId: string, inputs: Record<string, string> = {}) =>
  act("switchover", { mode: "apply", "operation-id": operationId, ...inputs });

/** The `n`-th node, and what it was asked. */
const of = (n: number): string[] => asked.filter(({ node }) => node === n).map(({ what }) => what);

describe("the switchover action against AWS's protocols", () => {
  it("shows the plan, asks a replica for it, and changes nothing", async () => {
    const run = await act("switchover", { target: ids[1] ?? "", "max-lag": "30s" });
    expect(run.exitCode, run.log).toBe(0);
    expect(run.outputs).toEqual({
      plan: JSON.stringify(plan),
      "plan-hash": plan.hash,
      changes: "true",
      changed: "false",
      state: "",
      "primary-instance-id": ids[0],
      result: "",
      "failure-reason": "",
    });
    expect(asked).toEqual([{ node: 1, what: "plan" }]);
    expect(run.summary).toMatch(
      new RegExp(
        `^## 🔵 <code>orders</code>: the primary will change from <code>${ids[0]}</code> to <code>${ids[1]}</code>`,
      ),
    );
    expect(run.summary).toContain(
      [
        "with:",
        "  mode: apply",
        "  cluster-id: orders",
        `  target: ${ids[1]}`,
        "  max-lag: 30s",
        "  max-transaction-age: 1m",
        "  timeout: 1m",
        `  expected-plan-hash: ${plan.hash}`,
      ].join("\n"),
    );
  });

  it("applies the approved plan, and tells before, after and how long writes were refused", async () => {
    const run = await apply("op-applied", { "expected-plan-hash": plan.hash, "expected-primary": ids[0] ?? "" });
    expect(run.exitCode, run.log).toBe(0);
    expect(run.outputs).toMatchObject({
      changed: "true",
      state: "succeeded",
      "operation-id": "op-applied",
      "primary-instance-id": ids[1],
      "failure-reason": "",
    });
    expect(JSON.parse(run.outputs.result ?? "")).toMatchObject({ writes_refused_ms: 43 });
    expect(run.summary).toMatch(new RegExp(`^## 🟢 <code>orders</code>: <code>${ids[1]}</code> is the primary now`));
    expect(run.summary).toContain("| Writes refused | 43 ms |");
    expect(asked.map(({ what }) => what)).toEqual(["plan", "apply op-applied"]);
    expect(of(0)).toEqual([]);
    expect(of(1)).toContain("apply op-applied");
    expect(await recordOf("op-applied")).toMatchObject({
      kind: "switchover",
      input: { expected_plan_hash: plan.hash, max_lag_seconds: 10 },
      plan_hash: plan.hash,
      attempt: 1,
    });
  });

  it("gives the same result when the job is run again", async () => {
    const env = { GITHUB_RUN_ID: "4711", GITHUB_JOB: "apply", GITHUB_ACTION: "switch", GITHUB_RUN_ATTEMPT: "1" };
    const first = await act("switchover", { mode: "apply" }, env);
    const again = await act("switchover", { mode: "apply" }, { ...env, GITHUB_RUN_ATTEMPT: "2" });
    expect(again.exitCode, again.log).toBe(0);
    expect(again.outputs).toEqual(first.outputs);
    expect(first.outputs["operation-id"]).toBe("switchover-4711-apply-switch");
    expect(asked.filter(({ what }) => what.startsWith("apply"))).toHaveLength(1);
    expect(again.summary).toContain("nothing was done now");
  });

  it("tries an operation that was undone once more under its id", async () => {
    fate = "is undone";
    const first = await apply("op-twice");
    expect(first).toMatchObject({ exitCode: 1, outputs: { state: "undone", "failure-reason": "timed-out" } });
    expect(first.outputs.changed).toBe("false");
    fate = "succeeds";
    const second = await apply("op-twice");
    expect(second, second.log).toMatchObject({ exitCode: 0, outputs: { state: "succeeded" } });
    expect(await recordOf("op-twice")).toMatchObject({ attempt: 2 });
  });

  it("refuses an id that belongs to something else", async () => {
    await apply("op-mine");
    const other = await apply("op-mine", { target: ids[2] ?? "" });
    expect(other.outputs).toMatchObject({ "failure-reason": "operation-id-taken" });
    expect(other.log).toContain("its input differs in target");
    expect(other.log).toContain("Nothing was changed");
  });

  it("ends the record of an operation that its node did not begin", async () => {
    fate = "never begins";
    const run = await apply("op-unbegun");
    expect(run.outputs, run.log).toMatchObject({ "failure-reason": "credentials-missing" });
    expect(run.log).toContain("The secret is gone.");
    expect(await recordOf("op-unbegun")).toMatchObject({ state: "undone", failure_reason: "credentials-missing" });
  });

  it("has another node look after an operation whose runner died", async () => {
    fate = "loses its runner";
    const run = await apply("op-lost");
    expect(run, run.log).toMatchObject({ exitCode: 0, outputs: { state: "succeeded" } });
    expect(of(2)).toContain("resume op-lost");
    expect(run.log).toContain("its record has stood still for");
  });

  it("asks the next node for the plan when the first has no SSM agent", async () => {
    off.add(ids[1] ?? "");
    const run = await act("switchover", {});
    expect(run.exitCode, run.log).toBe(0);
    expect(of(2)).toEqual(["plan"]);
  });

  it("names another operation that is under way, and who asked for it", async () => {
    fate = "waits";
    const stopped = new AbortController();
    const first = startApply("op-first", stopped.signal);
    await eventually("the first is running", async () => (await recordOf("op-first"))?.state === "running");
    const second = await apply("op-second");
    expect(second.outputs).toMatchObject({ "failure-reason": "operation-in-progress" });
    expect(second.log).toContain("The switchover op-first has not ended: it is running");
    expect(await recordOf("op-second")).toBeUndefined();
    // A third run with the first one's id watches the same operation.
    const attached = apply("op-first");
    await succeed("op-first");
    expect(await attached).toMatchObject({ exitCode: 0, outputs: { state: "succeeded" } });
    expect((await first).code).toBe(0);
    expect(asked.filter(({ what }) => what === "apply op-first")).toHaveLength(1);
  });

  it.each(["SIGINT", "SIGKILL"] as const)(
    "says that the operation goes on when the run is ended by %s",
    async (signal) => {
      fate = "waits";
      const operationId = `op-${signal.toLowerCase()}`;
      const stop = new AbortController();
      const run = startApply(operationId, stop.signal, signal);
      await eventually("it is watched", async () => (await recordOf(operationId))?.state === "running");
      stop.abort();
      const { log, summary, code } = await run;
      expect(code, log).not.toBe(0);
      expect(log).toContain(`operation-id ${operationId} and mode attach`);
      expect(summary).toContain(operationId);
      expect(await recordOf(operationId)).toMatchObject({ state: "running" });
      const attached = act("operation", { mode: "attach", "operation-id": operationId });
      await succeed(operationId);
      expect(await attached).toMatchObject({ exitCode: 0, outputs: { state: "succeeded" } });
    },
  );

  it("says that the operation goes on when the credentials end", async () => {
    fate = "waits";
    const run = apply("op-expired");
    await eventually("it is watched", async () => (await recordOf("op-expired"))?.state === "running");
    test.cloud.faults.add({
      match: { service: "dynamodb", operation: "GetItem", principal: "operator" },
      effect: { kind: "deny" },
    });
    const { outputs, log } = await run;
    test.cloud.faults.clear();
    expect(outputs).toMatchObject({ "failure-reason": "permission-denied" });
    expect(log).toContain("The operation op-expired goes on without this run");
    await succeed("op-expired");
  });

  it("does not ask for a result twice when the answer to its write is lost", async () => {
    test.cloud.faults.add({
      match: { service: "dynamodb", operation: "PutItem" },
      effect: { kind: "drop-reply" },
      times: 1,
    });
    const run = await apply("op-dropped");
    expect(run, run.log).toMatchObject({ exitCode: 0, outputs: { state: "succeeded" } });
    expect(await recordOf("op-dropped")).toMatchObject({ attempt: 1 });
  });

  it("refuses instances of other clusters, and ids that nobody knows", async () => {
    const ec2 = new EC2Client({
      endpoint: test.cloud.endpoint,
      region: test.cloud.region,
      credentials: test.cloud.operator,
    });
    const launched = await ec2.send(
      new RunInstancesCommand({
        ImageId: "ami-00000000000000001",
        MinCount: 1,
        MaxCount: 1,
        TagSpecifications: [{ ResourceType: "instance", Tags: [{ Key: tags.clusterId, Value: "billing" }] }],
      }),
    );
    const foreign = launched.Instances?.[0]?.InstanceId ?? "";
    for (const input of ["target", "expected-primary"]) {
      const run = await act("switchover", { [input]: foreign });
      expect(run.outputs, run.log).toMatchObject({ "failure-reason": "instance-not-in-cluster" });
      expect(run.log).toContain(`carries the tag cluster_id=billing, not orders`);
    }
    const run = await act("switchover", { target: "i-00000000000000bad" });
    expect(run.outputs).toMatchObject({ "failure-reason": "instance-not-in-cluster" });
    expect(asked).toEqual([]);
  });

  it.each([
    ["ec2", "DescribeInstances", "ec2:DescribeInstances"],
    ["ssm", "SendCommand", "ssm:SendCommand"],
    ["ssm", "GetCommandInvocation", "ssm:GetCommandInvocation"],
    ["dynamodb", "GetItem", "dynamodb:GetItem"],
    ["dynamodb", "Scan", "dynamodb:Scan"],
    ["dynamodb", "PutItem", "dynamodb:PutItem"],
  ])("names the call when %s refuses %s, and begins nothing", async (service, operation, action) => {
    test.cloud.faults.add({ match: { service, operation, principal: "operator" }, effect: { kind: "deny" } });
    const run = await apply("op-denied");
    test.cloud.faults.clear();
    expect(run.outputs, run.log).toMatchObject({ "failure-reason": "permission-denied" });
    expect(run.log).toContain(`AWS refused ${action} on `);
    expect(asked.filter(({ what }) => what.startsWith("apply"))).toEqual([]);
    expect(await recordOf("op-denied")).toBeUndefined();
  });
});

describe("the switchover action in a workflow, through act", () => {
  it("is found in its folder of the release tree, with its post script", async ({ skip }) => {
    const installed = await ensureAct(reportLines((line) => process.stderr.write(line)));
    if (!installed.available) {
      console.warn(`SKIPPED: ${installed.how}`);
      skip(installed.how);
      return;
    }
    const workflow = [
      "on: workflow_dispatch",
      "jobs:",
      "  switch:",
      "    runs-on: ubuntu-latest",
      "    steps:",
      "      - id: switch",
      "        uses: infrahouse/percona-actions/switchover@v1",
      "        with:",
      "          cluster-id: orders",
      "          mode: apply",
      "",
    ].join("\n");
    const env = test.cloud.operatorEnvironment();
    const run = await runThroughAct({ act: installed.act, tree, workflow, env });
    const step = run.steps.find(({ id }) => id === "switch");
    expect(step, run.log).toMatchObject({ result: "success", outputs: { state: "succeeded", changed: "true" } });
    expect(step?.summary).toMatch(/^## 🟢 <code>orders<\/code>/);
    expect(step?.outputs["operation-id"]).toMatch(/^switchover-\d+-switch-/);
    expect(step?.annotations).toEqual([]);
    expect(run.jobs).toEqual({ switch: "success" });
  });
});

/** The action as a process that can be ended in the middle; then its post script, as the runner would. */
async function startApply(
  operationId: string,
  stop: AbortSignal,
  signal: NodeJS.Signals = "SIGKILL",
): Promise<{ readonly log: string; readonly summary: string; readonly code: number | null }> {
  const folder = await mkdtemp(join(work, "run-"));
  const [state, summary, output] = ["state", "summary", "output"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [state, summary, output]) await writeFile(path, "");
  const env = {
    PATH: process.env.PATH ?? "",
    GITHUB_STATE: state,
    GITHUB_STEP_SUMMARY: summary,
    GITHUB_OUTPUT: output,
    "INPUT_CLUSTER-ID": clusterId,
    INPUT_MODE: "apply",
    "INPUT_OPERATION-ID": operationId,
    ...test.cloud.operatorEnvironment(),
  };
  let log = "";
  const once = async (more: Record<string, string>, stoppable: boolean): Promise<number | null> => {
    const child = spawn(process.execPath, [join(tree, "dist", "switchover.mjs")], { env: { ...env, ...more } });
    child.stdout.on("data", (chunk) => {
      log += chunk;
    });
    child.stderr.on("data", (chunk) => {
      log += chunk;
    });
    if (stoppable) stop.addEventListener("abort", () => child.kill(signal), { once: true });
    return new Promise((resolve) => child.once("close", resolve));
  };
  const code = await once({}, true);
  const kept = (await readFile(state, "utf8")).matchAll(/^([\w-]+)<<(\S+)\n([\s\S]*?)\n?\2$/gm);
  await once(Object.fromEntries([...kept].map(([, name, , value]) => [`STATE_${name}`, value ?? ""])), false);
  return { log, summary: await readFile(summary, "utf8"), code };
}

describe("the operation action against AWS's protocols", () => {
  const lease: LeaseItem = {
    pk: itemKey.lock("operation", clusterId),
    owner: "i-0000000000000000b",
    lease_ms: 3000,
    rvn: "still",
    fence: 12,
    acquired_at: "2026-11-21T12:00:00.000Z",
    purpose: "switchover op-shown",
  };

  it("shows an operation, its steps, and who holds which lock", async () => {
    fate = "waits";
    const stop = new AbortController();
    const run = startApply("op-shown", stop.signal);
    await eventually("it is running", async () => (await recordOf("op-shown"))?.state === "running");
    await put(lease);
    const shown = await act("operation", {});
    expect(shown.exitCode, shown.log).toBe(0);
    expect(shown.outputs).toMatchObject({
      "operation-id": "op-shown",
      kind: "switchover",
      state: "running",
      live: "true",
    });
    expect(JSON.parse(shown.outputs.locks ?? "")).toMatchObject({ operation: { owner: lease.owner }, backup: null });
    expect(shown.summary).toMatch(
      /^## 🔵 <code>orders<\/code>: switchover <code>op-shown<\/code> is under way: running/,
    );
    expect(shown.log).toContain(
      `lock operation: held by ${lease.owner} since ${lease.acquired_at} for switchover op-shown, fence 12, and not renewed`,
    );
    const aborted = await act("operation", { mode: "abort", "operation-id": "op-shown" });
    expect(aborted, aborted.log).toMatchObject({ exitCode: 0, outputs: { state: "aborted", live: "false" } });
    expect(of(1)).toContain("abort op-shown");
    // What holds what is told before anything is asked for.
    expect(aborted.log.indexOf("lock operation: held by")).toBeLessThan(aborted.log.indexOf("is asked to end it"));
    expect(await run).toMatchObject({ code: 1 });
    const again = await act("operation", { mode: "abort", "operation-id": "op-shown" });
    expect(again, again.log).toMatchObject({ exitCode: 0, outputs: { state: "aborted" } });
    expect(again.log).toContain("it has ended as aborted; nothing is done");
    expect(of(1).filter((what) => what.startsWith("abort"))).toHaveLength(1);
  });

  it("says when there is no such operation, and when there is no such cluster", async () => {
    const unknown = await act("operation", { mode: "attach", "operation-id": "op-nobody" });
    expect(unknown.outputs).toMatchObject({ "failure-reason": "unknown-operation" });
    expect(unknown.log).toContain("The cluster orders has no operation op-nobody. None is under way.");
    const cluster = await act("operation", { "cluster-id": "nobody" });
    expect(cluster.outputs).toMatchObject({ "failure-reason": "unknown-cluster" });
  });
});
