import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { operationUnit } from "#contract/names.ts";
import type { LabNode } from "#lab/controls.ts";
import { attemptPoints } from "#node/lib/failover/attempt.ts";
import { roles } from "../lab-fixture.ts";
import { useSituation } from "../situation.ts";
import { beginSwitchover, ended } from "../switchover-fixture.ts";

const here = useSituation();

describe("the candidate of a failover", () => {
  it.each(attemptPoints)(
    "has its agent killed after %s: the cluster has one primary, and nothing is lost",
    async (step) => {
      const { primary } = await roles(here.lab);
      const writing = await here.clientsWrite(3);
      await here.plantFault(`kill after ${step}`);
      await here.lab.machine(primary.name).kill();
      await here.faultHasStruck();
      await here.writesAgain();
      await here.backAndHealthy(primary.name);
      await here.expectSound(writing);
    },
  );

  it.each(attemptPoints)("is stopped after %s for longer than a lease, and goes on: nothing is lost", async (step) => {
    const { primary, replicas } = await roles(here.lab);
    const writing = await here.clientsWrite(3);
    await here.plantFault(`stop after ${step}`);
    await here.lab.machine(primary.name).kill();
    await here.faultHasStruck();
    await delay(5000);
    for (const { name } of replicas) await here.lab.machine(name).killProcess("agent", "SIGCONT");
    await here.writesAgain();
    await here.backAndHealthy(primary.name);
    await here.expectSound(writing);
  });
});

describe("in the middle of a switchover", () => {
  it.each(["demote", "take-lock"])(
    "the old primary's node dies after %s while the runner is stopped: a failover comes before it, and the runner changes nothing more",
    async (step) => {
      const { primary, replicas } = await roles(here.lab);
      const [target] = replicas as [LabNode];
      const writing = await here.clientsWrite(3);
      await here.plantFault(`stop after ${step}`);
      const id = await beginSwitchover(here.lab, target.name, { target: target.instanceId });
      await here.faultHasStruck();
      await here.lab.machine(primary.name).kill();
      await here.writesAgain();
      here.lab.machine(target.name).machine.signalUnit(operationUnit(id), "SIGCONT");
      const { state } = await ended(here.lab, id);
      expect(["superseded", "undone", "failed"]).toContain(state);
      await here.backAndHealthy(primary.name);
      await here.expectSound(writing);
    },
  );
});
