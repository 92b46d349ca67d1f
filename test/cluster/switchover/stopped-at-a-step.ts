import { expect, it } from "vitest";
import { leaseTimings } from "#contract/lease.ts";
import type { LabNode } from "#lab/controls.ts";
import { switchoverSteps } from "#node/lib/failover/switchover/steps.ts";
import { type StopPoint, stopPointName } from "#node/lib/operation/step.ts";
import { roles, writableNodes } from "../lab-fixture.ts";
import { useSituation } from "../situation.ts";
import { beginSwitchover, ended, readOperation, runAgain } from "../switchover-fixture.ts";

/** How an operation is stopped: an error of its own, or SIGKILL of the node's script. */
export type How = "throw" | "kill";

const afterThePoint = (point: StopPoint): boolean => {
  const pivot = switchoverSteps.findIndex((step) => step.pointOfNoReturn);
  const index = switchoverSteps.findIndex((step) => step.name === point.step);
  return index > pivot || (index === pivot && point.when === "after");
};

/** Stops one switchover after the other at the given points, on one lab. */
export const stopsAt = (points: readonly (readonly [StopPoint, How])[]): void => {
  const here = useSituation();
  const cases = points.map(([point, how]) => ({ how, point, where: stopPointName(point) }));
  it.each(cases)(
    "$how $where: one writable node soon, and the same id goes to its end",
    async ({ how, point, where }) => {
      const { primary, replicas } = await roles(here.lab);
      const [target] = replicas as [LabNode];
      await here.plantFault(`${how} ${where}`);
      const id = await beginSwitchover(here.lab, target.name, { target: target.instanceId });
      await here.faultHasStruck();
      await here.writesAgain(leaseTimings.short.leaseMs + 5000);
      const first = await ended(here.lab, id, 30_000);
      const past = afterThePoint(point);
      expect(first.state, first.failure_message).toBe(past ? "succeeded" : "undone");
      expect((await here.lab.topology())?.instance_id).toBe(past ? target.instanceId : primary.instanceId);
      if (!past) {
        await here.lab.waitHealthy();
        await runAgain(here.lab, id);
        expect((await ended(here.lab, id)).state).toBe("succeeded");
      }
      const { steps } = await readOperation(here.lab, id);
      expect(steps.filter((step) => step.state === "done").length).toBeGreaterThan(0);
      expect((await here.lab.topology())?.instance_id).toBe(target.instanceId);
      await here.lab.waitHealthy();
      expect(await writableNodes(here.lab)).toHaveLength(1);
    },
  );
};
