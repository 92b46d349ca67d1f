import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Lab } from "#lab/lab.ts";
import { printJournalsOnFailure, roles, startTestLab, writableNodes } from "../lab-fixture.ts";
import { expectAllThere, makeTable, startWriting, type Writing } from "../writing.ts";

let lab: Lab;
let writing: Writing;
beforeAll(async () => {
  lab = await startTestLab();
  await lab.waitHealthy();
  await makeTable(lab);
});
afterAll(() => lab?.down());
beforeEach(async () => {
  printJournalsOnFailure(() => lab, 60);
  await lab.waitHealthy();
  writing = startWriting(lab, 3);
});
afterEach(() => writing.stop());

const onlyListed = (instanceId: string): Promise<unknown> =>
  lab.waitUntil(
    `only ${instanceId} is listed`,
    async () => {
      const ids = (await lab.topology())?.ackers.map((acker) => acker.instance_id);
      return (ids?.length === 1 && ids[0] === instanceId) || { seen: ids };
    },
    60_000,
  );

const writesGoOn = async (deadlineMs = 40_000): Promise<void> => {
  const before = writing.acknowledged();
  await lab.waitUntil("writes go on", () => writing.acknowledged() > before + 20 || "no", deadlineMs);
};

/** Nothing that was acknowledged is lost, and one node is writable. */
const expectSound = async (): Promise<void> => {
  await lab.waitHealthy();
  await expectAllThere(lab, await writing.stop());
  expect(await writableNodes(lab)).toHaveLength(1);
};

describe("one replica has been away for long", () => {
  it("the only acker restarts, and the primary is killed at once: whoever is primary then has every acknowledged write", async () => {
    const { primary, replicas } = await roles(lab);
    const [away, only] = replicas;
    await lab.machine(away?.name ?? "").kill();
    await onlyListed(only?.instanceId ?? "");
    await writesGoOn();
    await lab.machine(only?.name ?? "").killProcess("mysqld");
    await lab.machine(primary.name).killProcess("mysqld");
    await writesGoOn();
    await lab.machine(away?.name ?? "").start();
    await expectSound();
  });

  it("the primary's node dies: the only acker takes over, and commits wait until somebody acknowledges", async () => {
    const { primary, replicas } = await roles(lab);
    const [away, only] = replicas;
    await lab.machine(away?.name ?? "").kill();
    await onlyListed(only?.instanceId ?? "");
    await writesGoOn();
    await lab.machine(primary.name).kill();
    await lab.waitUntil(
      "the only acker is the primary",
      async () => (await lab.topology())?.instance_id === only?.instanceId || "not yet",
      30_000,
    );
    const before = writing.acknowledged();
    await delay(2000);
    expect(writing.acknowledged()).toBe(before);
    await lab.machine(away?.name ?? "").start();
    await writesGoOn(60_000);
    await lab.machine(primary.name).start();
    await expectSound();
  });
});

describe("both replicas", () => {
  it("go away and come back: commits wait meanwhile, and nobody is told that they are safe", async () => {
    const { primary, replicas } = await roles(lab);
    await writesGoOn();
    for (const { name } of replicas) await lab.machine(name).kill();
    await delay(3000);
    const before = writing.acknowledged();
    await delay(3000);
    expect(writing.acknowledged()).toBe(before);
    for (const { name } of replicas) await lab.machine(name).start();
    await writesGoOn(60_000);
    expect((await roles(lab)).primary.instanceId).toBe(primary.instanceId);
    await expectSound();
  });
});
