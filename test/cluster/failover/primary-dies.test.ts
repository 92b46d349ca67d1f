import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Lab } from "#lab/lab.ts";
import { printJournalsOnFailure, roles, startTestLab, value, writableNodes } from "../lab-fixture.ts";
import { readOperation } from "../switchover-fixture.ts";
import { expectAllThere, makeTable, startWriting } from "../writing.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await startTestLab();
  await lab.waitHealthy();
  await makeTable(lab);
});
afterAll(() => lab?.down());
beforeEach(async () => {
  printJournalsOnFailure(() => lab, 60);
  await lab.waitHealthy();
});

/** Waits until another node is recorded and a write goes through the balancer. */
const replaced = async (old: string): Promise<void> => {
  await lab.waitUntil(
    "another node is the primary, and writes go on",
    async () => {
      const record = await lab.topology();
      if (record?.instance_id === old) return "the old primary is recorded";
      await lab.sql("write", `INSERT INTO app.written (k) VALUES ('${performance.now()}')`);
      return true;
    },
    30_000,
  );
};

describe("while clients write through the balancer", () => {
  it("mysqld of the primary is killed: another takes over, nothing that was acknowledged is lost, and it returns as a replica", async () => {
    const { primary, record } = await roles(lab);
    const writing = startWriting(lab);
    await lab.waitUntil("some writes", () => writing.acknowledged() > 20 || String(writing.acknowledged()), 20_000);
    await lab.machine(primary.name).killProcess("mysqld");
    await replaced(primary.instanceId);
    await lab.waitHealthy();
    await expectAllThere(lab, await writing.stop());
    const now = (await roles(lab)).record;
    expect(now).toMatchObject({ timeline: record.timeline + 1, failover_from: primary.instanceId });
    expect(now.fence).toBeGreaterThan(record.fence);
    expect(await writableNodes(lab)).toHaveLength(1);
    await lab.waitUntil(
      "the failover is an operation that has ended",
      async () => {
        const operation = await readOperation(lab, now.operation_id ?? "");
        return (operation.kind === "failover" && operation.state === "succeeded") || { seen: operation };
      },
      20_000,
    );
  });

  it("the primary's whole node loses power: another takes over after the lease, and the node returns when it is booted", async () => {
    const { primary } = await roles(lab);
    const writing = startWriting(lab);
    await lab.waitUntil("some writes", () => writing.acknowledged() > 20 || String(writing.acknowledged()), 20_000);
    await lab.machine(primary.name).kill();
    await replaced(primary.instanceId);
    await lab.machine(primary.name).start();
    await lab.waitHealthy();
    await expectAllThere(lab, await writing.stop());
    expect(await writableNodes(lab)).toHaveLength(1);
  });

  it("the primary is stopped with 50 commits that wait, another is promoted, and the old one goes on: none of them is told a lie", async () => {
    const { primary, replicas } = await roles(lab);
    for (const { name } of replicas) await lab.machine(name).killProcess("mysqld", "SIGSTOP");
    const writing = startWriting(lab, 50, 0);
    await lab.waitUntil(
      "50 commits wait",
      async () => {
        const waiting = await value(
          lab,
          primary.name,
          "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO app.written%'",
        );
        return Number(waiting) >= 50 || waiting;
      },
      30_000,
    );
    await lab.machine(primary.name).stop();
    for (const { name } of replicas) await lab.machine(name).killProcess("mysqld", "SIGCONT");
    await lab.waitUntil(
      "another is the primary",
      async () => ((await lab.topology())?.instance_id !== primary.instanceId ? true : "not yet"),
      40_000,
    );
    await lab.machine(primary.name).cont();
    await lab.waitUntil(
      "the old one is not writable any more",
      async () => {
        const writable = await writableNodes(lab);
        return (writable.length === 1 && writable[0] !== primary.name) || { seen: writable };
      },
      30_000,
    );
    await lab.waitHealthy();
    await expectAllThere(lab, await writing.stop());
  });
});

describe("the agent of a healthy primary", () => {
  it("dies again and again, or hangs for longer than a lease: the primary stays, and writes go on", async () => {
    const { primary, record } = await roles(lab);
    const writing = startWriting(lab, 2);
    for (let i = 0; i < 3; i++) {
      await lab.machine(primary.name).killProcess("agent");
      await lab.waitUntil(
        "it holds the lease again",
        async () => (await lab.status(primary.name)).lease !== undefined || "no",
        15_000,
      );
    }
    await lab.machine(primary.name).killProcess("agent", "SIGSTOP");
    const before = writing.acknowledged();
    await new Promise((resolve) => setTimeout(resolve, 7000));
    await lab.machine(primary.name).killProcess("agent", "SIGCONT");
    expect(writing.acknowledged()).toBeGreaterThan(before + 50);
    expect((await lab.topology())?.instance_id).toBe(primary.instanceId);
    expect((await lab.topology())?.timeline).toBe(record.timeline);
    await lab.waitHealthy();
    await expectAllThere(lab, await writing.stop());
  });
});
