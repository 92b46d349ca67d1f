import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ClusterStatus } from "#contract/cluster-status.ts";
import { ensureAct, reportLines } from "#lab/cache/index.ts";
import type { Lab } from "#lab/lab.ts";
import { assembleRelease } from "../../.ci/assemble-release.ts";
import { runThroughAct, statusWorkflow } from "../release/run-act.ts";
import { type ActionRun, runActionFromTree } from "../release/run-action.ts";
import { printJournalsOnFailure, roles, startTestLab, testRouting, value } from "./lab-fixture.ts";

let lab: Lab;
let folder: string;
let tree: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "percona-actions-tree-"));
  tree = join(folder, "tree");
  [lab] = await Promise.all([startTestLab(), assembleRelease({ into: tree })]);
  await lab.waitHealthy();
});
afterAll(async () => {
  await lab?.down();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => printJournalsOnFailure(() => lab));

const runStatus = (): Promise<ActionRun> =>
  runActionFromTree({
    tree,
    action: "status",
    inputs: { "cluster-id": lab.clusterId },
    env: lab.cloud.operatorEnvironment(),
  });

const statusOf = (run: { readonly outputs: Readonly<Record<string, string>> }): ClusterStatus =>
  v.parse(ClusterStatus, JSON.parse(run.outputs.status ?? "null"));

/** Every node's forwarder takes connections of both kinds; with registration a node is where its role is. */
const isTarget = (hasTheRole: boolean): boolean => testRouting === "forward" || hasTheRole;

describe("the status action on a cluster of real servers", () => {
  it("calls a healthy cluster healthy, and knows of every node what its server says", async () => {
    let run: ActionRun | undefined;
    // Tags and target health follow the servers by a moment.
    await lab.waitUntil(
      "the status is healthy",
      async () => {
        run = await runStatus();
        return run.outputs.verdict === "healthy" || { seen: run.outputs.disagreements ?? run.log };
      },
      60_000,
    );
    if (!run) throw new Error("unreachable");
    expect(run.exitCode, run.log).toBe(0);
    const status = statusOf(run);
    const { record, primary, replicas } = await roles(lab);
    expect(status).toMatchObject({
      primary_instance_id: primary.instanceId,
      fence: record.fence,
      current_operation: "NONE",
      disagreements: [],
    });
    expect(status.last_backup?.kind).toBe("full");
    for (const node of [primary, ...replicas]) {
      const seen = status.nodes.find((each) => each.instance_id === node.instanceId);
      expect(seen).toMatchObject({
        private_ip: node.address,
        availability_zone: node.zone,
        version: await value(lab, node.name, "SELECT @@version"),
        writable: node === primary,
        write_target: isTarget(node === primary) ? "in" : "out",
        read_target: isTarget(node !== primary) ? "in" : "out",
        acker: node !== primary,
      });
    }
    expect(run.summary).toContain(primary.instanceId);
    expect(run.summary).toContain("```mermaid");
  });

  it("finds a node without power and a replica with a transaction of its own, and says so in a workflow through act", async ({
    skip,
  }) => {
    const [silent, errant] = (await roles(lab)).replicas;
    await lab.machine(silent?.name ?? "").kill();
    // Its agent would make it read-only again before anything could be written.
    await lab.machine(errant?.name ?? "").killProcess("agent", "SIGSTOP");
    await lab.sql(errant?.name ?? "", "SET GLOBAL super_read_only = OFF");
    await lab.sql(errant?.name ?? "", "CREATE DATABASE written_here");
    await lab.machine(errant?.name ?? "").killProcess("agent", "SIGCONT");
    await lab.waitUntil(
      "the status finds both",
      async () => {
        const kinds = statusOf(await runStatus()).disagreements.map(({ kind }) => kind);
        return (kinds.includes("node-unreachable") && kinds.includes("errant-transactions")) || { seen: kinds };
      },
      60_000,
    );
    const act = await ensureAct(reportLines((line) => process.stderr.write(line)));
    if (!act.available) {
      skip(act.how);
      return;
    }
    const workflow = statusWorkflow(lab.clusterId);
    const run = await runThroughAct({ act: act.act, tree, workflow, env: lab.cloud.operatorEnvironment() });
    const step = run.steps.find(({ id }) => id === "status");
    expect(run.exitCode, run.log).not.toBe(0);
    expect(step?.outputs).toMatchObject({ verdict: "critical", "failure-reason": "cluster-unhealthy" });
  });
});
