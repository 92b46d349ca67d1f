import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { LabNode } from "#lab/controls.ts";
import { roles } from "../lab-fixture.ts";
import { useSituation, writesGoOn } from "../situation.ts";

const here = useSituation();

/** One replica loses its power, and the other is the only acker. */
const oneIsAway = async (): Promise<{ readonly primary: LabNode; readonly away: LabNode; readonly only: LabNode }> => {
  const { primary, replicas } = await roles(here.lab);
  const [away, only] = replicas as [LabNode, LabNode];
  await here.lab.machine(away.name).kill();
  await here.lab.waitUntil(
    `only ${only.name} is listed`,
    async () => {
      const ids = (await here.lab.topology())?.ackers.map((acker) => acker.instance_id);
      return (ids?.length === 1 && ids[0] === only.instanceId) || { seen: ids };
    },
    60_000,
  );
  return { primary, away, only };
};

describe("one replica has been away for long", () => {
  it("the only acker restarts, and the primary is killed at once: whoever is primary then has every acknowledged write", async () => {
    const writing = await here.clientsWrite(3);
    const { primary, away, only } = await oneIsAway();
    await writesGoOn(here.lab, writing);
    await here.lab.machine(only.name).killProcess("mysqld");
    await here.lab.machine(primary.name).killProcess("mysqld");
    await writesGoOn(here.lab, writing);
    await here.backAndHealthy(away.name);
    await here.expectSound(writing);
  });

  it("the primary's node dies: the only acker takes over, and commits wait until somebody acknowledges", async () => {
    const writing = await here.clientsWrite(3);
    const { primary, away, only } = await oneIsAway();
    await writesGoOn(here.lab, writing);
    await here.lab.machine(primary.name).kill();
    await here.anotherIsPrimary(primary, 30_000);
    expect((await here.lab.topology())?.instance_id).toBe(only.instanceId);
    const before = writing.acknowledged();
    await delay(2000);
    expect(writing.acknowledged()).toBe(before);
    await here.lab.machine(away.name).start();
    await writesGoOn(here.lab, writing, 60_000);
    await here.backAndHealthy(primary.name);
    await here.expectSound(writing);
  });
});

describe("both replicas", () => {
  it("go away and come back: commits wait meanwhile, and nobody is told that they are safe", async () => {
    const { primary, replicas } = await roles(here.lab);
    const writing = await here.clientsWrite(3);
    for (const { name } of replicas) await here.lab.machine(name).kill();
    await delay(3000);
    const before = writing.acknowledged();
    await delay(3000);
    expect(writing.acknowledged()).toBe(before);
    for (const { name } of replicas) await here.lab.machine(name).start();
    await writesGoOn(here.lab, writing, 60_000);
    expect((await roles(here.lab)).primary.instanceId).toBe(primary.instanceId);
    await here.expectSound(writing);
  });
});
