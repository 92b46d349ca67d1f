import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SwitchoverResult } from "#contract/operation.ts";
import type { Lab } from "#lab/lab.ts";
import { faultFileVariable } from "#node/lib/operation/fault.ts";
import { assembleRelease } from "../../.ci/assemble-release.ts";
import { eventually } from "../cluster/cloud/harness.ts";
import { printJournalsOnFailure, roles, startTestLab, writableNodes } from "../cluster/lab-fixture.ts";
import { readOperation } from "../cluster/switchover-fixture.ts";
import { type ActionRun, runActionFromTree } from "./run-action.ts";

let lab: Lab;
let folder: string;
let tree: string;
let faultFile: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "percona-actions-tree-"));
  tree = join(folder, "tree");
  faultFile = join(folder, "fault");
  [lab] = await Promise.all([
    startTestLab({ env: { [faultFileVariable]: faultFile } }),
    assembleRelease({ into: tree }),
  ]);
  await lab.waitHealthy();
});
afterAll(async () => {
  await lab?.down();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  printJournalsOnFailure(() => lab);
  await lab.waitHealthy();
});

const act = (
  action: "switchover" | "operation",
  inputs: Record<string, string>,
  env: Record<string, string> = {},
): Promise<ActionRun> =>
  runActionFromTree({
    tree,
    action,
    inputs: { "cluster-id": lab.clusterId, ...inputs },
    env: { ...lab.cloud.operatorEnvironment(), ...env },
  });

describe("the switchover action on a cluster of real servers", () => {
  it("plans, applies exactly that plan, measures it, and gives the same result when it is run again", async () => {
    const { primary, record } = await roles(lab);
    const plan = await act("switchover", {});
    expect(plan.exitCode, plan.log).toBe(0);
    expect(plan.outputs).toMatchObject({
      changes: "true",
      changed: "false",
      "primary-instance-id": primary.instanceId,
    });
    expect((await roles(lab)).record.fence).toBe(record.fence);

    const inputs = {
      mode: "apply",
      "expected-plan-hash": plan.outputs["plan-hash"] ?? "",
      "expected-primary": primary.instanceId,
      "operation-id": "first",
    };
    const applied = await act("switchover", inputs);
    expect(applied.exitCode, applied.log).toBe(0);
    const after = await roles(lab);
    const result = v.parse(SwitchoverResult, JSON.parse(applied.outputs.result ?? ""));
    expect(result).toMatchObject({
      changed: true,
      before: { instance_id: primary.instanceId, fence: record.fence },
      after: { instance_id: after.primary.instanceId, fence: after.record.fence },
    });
    expect(after.primary.instanceId).not.toBe(primary.instanceId);
    expect(applied.outputs).toMatchObject({
      state: "succeeded",
      changed: "true",
      "primary-instance-id": after.primary.instanceId,
    });
    expect(applied.summary).toContain("| Writes refused |");
    expect(await writableNodes(lab)).toEqual([after.primary.name]);

    const again = await act("switchover", inputs);
    expect(again.outputs).toEqual(applied.outputs);
    expect((await roles(lab)).record.fence).toBe(after.record.fence);
    const shown = await act("operation", { "operation-id": "first" });
    expect(shown.outputs).toMatchObject({ kind: "switchover", state: "succeeded", live: "false" });
    console.log(`writes were refused for ${result.writes_refused_ms} ms`);
  });

  it("is content with a target that is the primary, and refuses what is stale", async () => {
    const { primary, replicas, record } = await roles(lab);
    const there = await act("switchover", { mode: "apply", target: primary.instanceId });
    expect(there, there.log).toMatchObject({ exitCode: 0, outputs: { changes: "false", changed: "false", state: "" } });
    const stale = await act("switchover", { mode: "apply", "expected-primary": replicas[0]?.instanceId ?? "" });
    expect(stale).toMatchObject({ exitCode: 1, outputs: { "failure-reason": "unexpected-primary" } });
    const other = await act("switchover", { mode: "apply", "expected-plan-hash": "0".repeat(64) });
    expect(other).toMatchObject({ exitCode: 1, outputs: { "failure-reason": "plan-changed" } });
    expect((await roles(lab)).record.fence).toBe(record.fence);
  });

  it("does one of two that two repositories begin at once", async () => {
    const { primary } = await roles(lab);
    const runs = await Promise.all(
      ["4711", "4712"].map((GITHUB_RUN_ID) =>
        act("switchover", { mode: "apply", "expected-primary": primary.instanceId }, { GITHUB_RUN_ID }),
      ),
    );
    const reasons = runs.map(({ outputs }) => outputs["failure-reason"]);
    expect(reasons.filter((reason) => reason === "")).toHaveLength(1);
    const allowed = ["", "operation-in-progress", "unexpected-primary", "plan-changed", "lock-held"];
    expect(reasons.filter((reason) => !allowed.includes(reason ?? "?"))).toEqual([]);
    const after = await roles(lab);
    expect(after.primary.instanceId).not.toBe(primary.instanceId);
    expect(await writableNodes(lab)).toEqual([after.primary.name]);
  });

  it("is ended by a person before its point of no return: the primary stays, and the same id can be run again", async () => {
    const { primary, replicas, record } = await roles(lab);
    const inputs = { mode: "apply", target: replicas[0]?.instanceId ?? "", "operation-id": "thought-again" };
    await writeFile(faultFile, "wait before drain");
    const run = act("switchover", inputs);
    await eventually("the operation waits before its drain", async () => {
      const { steps } = await readOperation(lab, "thought-again");
      return steps.find(({ name }) => name === "drain")?.state === "running";
    });
    const abort = act("operation", { mode: "abort", "operation-id": "thought-again" });
    await eventually(
      "its end is asked for",
      async () => (await readOperation(lab, "thought-again")).abort_requested_at !== undefined,
    );
    await rm(faultFile);
    const [ended, aborted] = await Promise.all([run, abort]);
    expect(aborted, aborted.log).toMatchObject({ exitCode: 0, outputs: { state: "aborted", live: "false" } });
    expect(ended, ended.log).toMatchObject({ exitCode: 1, outputs: { state: "aborted", changed: "false" } });
    expect(ended.outputs["failure-reason"]).toBe("interrupted");
    const after = await roles(lab);
    expect(after.primary.instanceId).toBe(primary.instanceId);
    expect(await writableNodes(lab)).toEqual([primary.name]);
    // New connections are not held back any more.
    await lab.sql("write", "CREATE TABLE app.after_abort (id INT PRIMARY KEY)");
    expect(after.record.timeline).toBe(record.timeline);

    const again = await act("switchover", inputs);
    expect(again, again.log).toMatchObject({ exitCode: 0, outputs: { state: "succeeded", changed: "true" } });
    expect((await roles(lab)).primary.instanceId).toBe(replicas[0]?.instanceId);
  });

  it("tells the end of an operation whose node lost its power, and can be run again", async () => {
    const { replicas } = await roles(lab);
    const candidate = replicas[0];
    if (candidate === undefined) throw new Error("There is no replica.");
    const inputs = { mode: "apply", target: candidate.instanceId, "operation-id": "power-cut" };
    const run = act("switchover", inputs);
    await eventually(
      "the operation is running",
      async () => (await readOperation(lab, "power-cut")).state === "running",
    );
    await lab.machine(candidate.name).kill();
    const ended = await run;
    expect(["succeeded", "undone", "superseded", "failed"], ended.log).toContain(ended.outputs.state);
    expect(ended.outputs["failure-reason"] === "", ended.log).toBe(ended.outputs.state === "succeeded");
    await eventually("one node is writable", async () => (await writableNodes(lab)).length === 1, 30_000);
    await lab.machine(candidate.name).start();
    await lab.waitHealthy();
    const again = await act("switchover", inputs);
    expect(again.exitCode, again.log).toBe(0);
    expect((await writableNodes(lab)).length).toBe(1);
  });
});
