import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { operationUnit } from "#contract/names.ts";
import type { Lab } from "#lab/lab.ts";
import { attemptPoints } from "#node/lib/failover/attempt.ts";
import { faultFileVariable } from "#node/lib/operation/fault.ts";
import { printJournalsOnFailure, roles, startTestLab, writableNodes } from "../lab-fixture.ts";
import { beginSwitchover, ended } from "../switchover-fixture.ts";
import { expectAllThere, makeTable, startWriting } from "../writing.ts";

let lab: Lab;
let folder: string;
let faultFile: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fault-"));
  faultFile = join(folder, "fault");
  lab = await startTestLab({ env: { [faultFileVariable]: faultFile } });
  await lab.waitHealthy();
  await makeTable(lab);
});
afterAll(async () => {
  await lab?.down();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  printJournalsOnFailure(() => lab, 60);
  await lab.waitHealthy();
});

const faultHit = (): Promise<unknown> =>
  lab.waitUntil("the fault has struck", () => !existsSync(faultFile) || "not yet", 30_000);

const oneWritable = (): Promise<unknown> =>
  lab.waitUntil(
    "a write goes through, and one node is writable",
    async () => {
      await lab.sql("write", `INSERT INTO app.written (k) VALUES ('${performance.now()}')`);
      const writable = await writableNodes(lab);
      return writable.length === 1 || { seen: writable };
    },
    30_000,
  );

describe("the candidate of a failover", () => {
  it.each(attemptPoints)(
    "has its agent killed after %s: the cluster has one primary, and nothing is lost",
    async (step) => {
      const { primary } = await roles(lab);
      const writing = startWriting(lab, 3);
      await lab.waitUntil("some writes", () => writing.acknowledged() > 20 || "few", 20_000);
      await writeFile(faultFile, `kill after ${step}`);
      await lab.machine(primary.name).kill();
      await faultHit();
      await oneWritable();
      await lab.machine(primary.name).start();
      await lab.waitHealthy();
      await expectAllThere(lab, await writing.stop());
    },
  );

  it.each(attemptPoints)("is stopped after %s for longer than a lease, and goes on: nothing is lost", async (step) => {
    const { primary, replicas } = await roles(lab);
    const writing = startWriting(lab, 3);
    await lab.waitUntil("some writes", () => writing.acknowledged() > 20 || "few", 20_000);
    await writeFile(faultFile, `stop after ${step}`);
    await lab.machine(primary.name).kill();
    await faultHit();
    await delay(5000);
    for (const { name } of replicas) await lab.machine(name).killProcess("agent", "SIGCONT");
    await oneWritable();
    await lab.machine(primary.name).start();
    await lab.waitHealthy();
    await expectAllThere(lab, await writing.stop());
  });
});

describe("in the middle of a switchover", () => {
  it.each(["demote", "take-lock"])(
    "the old primary's node dies after %s while the runner is stopped: a failover comes before it, and the runner changes nothing more",
    async (step) => {
      const { primary, replicas } = await roles(lab);
      const writing = startWriting(lab, 3);
      await lab.waitUntil("some writes", () => writing.acknowledged() > 20 || "few", 20_000);
      await writeFile(faultFile, `stop after ${step}`);
      const target = replicas[0];
      const id = await beginSwitchover(lab, target?.name ?? "", { target: target?.instanceId ?? "" });
      await faultHit();
      await lab.machine(primary.name).kill();
      await oneWritable();
      lab.machine(target?.name ?? "").machine.signalUnit(operationUnit(id), "SIGCONT");
      const { state } = await ended(lab, id);
      expect(["superseded", "undone", "failed"]).toContain(state);
      await lab.machine(primary.name).start();
      await lab.waitHealthy();
      await expectAllThere(lab, await writing.stop());
      expect(await writableNodes(lab)).toHaveLength(1);
    },
  );
});
