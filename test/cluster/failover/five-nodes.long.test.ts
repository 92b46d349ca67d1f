import { expect, it } from "vitest";
import type { LabNode } from "#lab/controls.ts";
import { roles } from "../lab-fixture.ts";
import { useSituation, writesGoOn } from "../situation.ts";
import { beginSwitchover, ended } from "../switchover-fixture.ts";

const here = useSituation({ nodes: 5 });

it("five nodes, the primary and a replica die at once: another takes over, and commits wait for two", async () => {
  const { primary, record, replicas } = await roles(here.lab);
  const [replica] = replicas as [LabNode];
  expect(record.wait_count).toBe(2);
  const writing = await here.clientsWrite();
  await Promise.all([primary, replica].map(({ name }) => here.lab.machine(name).kill()));
  await here.anotherIsPrimary(primary);
  await writesGoOn(here.lab, writing);
  await here.backAndHealthy(primary.name, replica.name);
  await here.expectSound(writing);
});

it("five nodes: a switchover leaves the old primary as many ackers as its commits wait for", async () => {
  const writing = await here.clientsWrite();
  const [target] = (await roles(here.lab)).replicas as [LabNode];
  const id = await beginSwitchover(here.lab, target.name, { target: target.instanceId });
  expect((await ended(here.lab, id)).state).toBe("succeeded");
  await here.expectSound(writing);
});
