import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { roles, value } from "../lab-fixture.ts";
import { useSituation } from "../situation.ts";
import { readOperation } from "../switchover-fixture.ts";
import { startWriting } from "../writing.ts";

const here = useSituation();

describe("while clients write through the balancer", () => {
  it("mysqld of the primary is killed: another takes over, nothing that was acknowledged is lost, and it returns as a replica", async () => {
    const { primary, record } = await roles(here.lab);
    const writing = await here.clientsWrite();
    await here.lab.machine(primary.name).killProcess("mysqld");
    await here.anotherIsPrimary(primary);
    await here.writesAgain();
    await here.expectSound(writing);
    const now = (await roles(here.lab)).record;
    expect(now).toMatchObject({ timeline: record.timeline + 1, failover_from: primary.instanceId });
    expect(now.fence).toBeGreaterThan(record.fence);
    await here.lab.waitUntil(
      "the failover is an operation that has ended",
      async () => {
        const operation = await readOperation(here.lab, now.operation_id ?? "");
        return (operation.kind === "failover" && operation.state === "succeeded") || { seen: operation };
      },
      20_000,
    );
  });

  it("the primary's whole node loses power: another takes over after the lease, and the node returns when it is booted", async () => {
    const { primary } = await roles(here.lab);
    const writing = await here.clientsWrite();
    await here.lab.machine(primary.name).kill();
    await here.anotherIsPrimary(primary);
    await here.writesAgain();
    await here.backAndHealthy(primary.name);
    await here.expectSound(writing);
  });

  it("the primary is stopped with 50 commits that wait, another is promoted, and the old one goes on: none of them is told a lie", async () => {
    const { primary, replicas } = await roles(here.lab);
    for (const { name } of replicas) await here.lab.machine(name).killProcess("mysqld", "SIGSTOP");
    const writing = startWriting(here.lab, 50, 0);
    await here.lab.waitUntil(
      "50 commits wait",
      async () => {
        const waiting = await value(
          here.lab,
          primary.name,
          "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO app.written%'",
        );
        return Number(waiting) >= 50 || waiting;
      },
      30_000,
    );
    await here.lab.machine(primary.name).stop();
    for (const { name } of replicas) await here.lab.machine(name).killProcess("mysqld", "SIGCONT");
    await here.anotherIsPrimary(primary);
    await here.lab.machine(primary.name).cont();
    await here.onlyOthersWritable(primary);
    await here.expectSound(writing);
  });
});

describe("the agent of a healthy primary", () => {
  it("dies again and again, or hangs for longer than a lease: the primary stays, and writes go on", async () => {
    const { primary, record } = await roles(here.lab);
    const writing = await here.clientsWrite(2);
    for (let i = 0; i < 3; i++) {
      await here.lab.machine(primary.name).killProcess("agent");
      await here.lab.waitUntil(
        "it holds the lease again",
        async () => (await here.lab.status(primary.name)).lease !== undefined || "no",
        15_000,
      );
    }
    await here.lab.machine(primary.name).killProcess("agent", "SIGSTOP");
    const before = writing.acknowledged();
    await delay(7000);
    await here.lab.machine(primary.name).killProcess("agent", "SIGCONT");
    expect(writing.acknowledged()).toBeGreaterThan(before + 50);
    expect((await here.lab.topology())?.instance_id).toBe(primary.instanceId);
    expect((await here.lab.topology())?.timeline).toBe(record.timeline);
    await here.expectSound(writing);
  });
});
