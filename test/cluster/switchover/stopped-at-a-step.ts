import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { leaseTimings } from "#contract/lease.ts";
import type { Lab } from "#lab/lab.ts";
import { switchoverSteps } from "#node/lib/failover/switchover/steps.ts";
import { faultFileVariable } from "#node/lib/operation/fault.ts";
import { type StopPoint, stopPointName } from "#node/lib/operation/step.ts";
import { printJournalsOnFailure, roles, startTestLab, writableNodes } from "../lab-fixture.ts";
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
  let lab: Lab;
  let folder: string;
  let faultFile: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "fault-"));
    faultFile = join(folder, "fault");
    lab = await startTestLab({ env: { [faultFileVariable]: faultFile } });
    await lab.waitHealthy();
    await lab.sql("write", "CREATE TABLE app.written (id INT PRIMARY KEY AUTO_INCREMENT)");
  });
  afterAll(async () => {
    await lab?.down();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(() => printJournalsOnFailure(() => lab, 60));

  const cases = points.map(([point, how]) => ({ how, point, where: stopPointName(point) }));
  it.each(cases)(
    "$how $where: one writable node soon, and the same id goes to its end",
    async ({ how, point, where }) => {
      await lab.waitHealthy();
      const { primary, replicas } = await roles(lab);
      const target = replicas[0]?.instanceId ?? "";
      await writeFile(faultFile, `${how} ${where}`);
      const id = await beginSwitchover(lab, replicas[0]?.name ?? "", { target });
      await lab.waitUntil(`the operation came to ${where}`, async () => !existsSync(faultFile) || "not yet", 30_000);
      await lab.waitUntil(
        "a write goes through the balancer, and one node is writable",
        async () => {
          await lab.sql("write", "INSERT INTO app.written () VALUES ()");
          const writable = await writableNodes(lab);
          return writable.length === 1 || { seen: writable };
        },
        leaseTimings.short.leaseMs + 5000,
      );
      const first = await ended(lab, id, 30_000);
      const past = afterThePoint(point);
      expect(first.state, first.failure_message).toBe(past ? "succeeded" : "undone");
      expect((await lab.topology())?.instance_id).toBe(past ? target : primary.instanceId);
      if (!past) {
        await lab.waitHealthy();
        await runAgain(lab, id);
        expect((await ended(lab, id)).state).toBe("succeeded");
      }
      expect((await readOperation(lab, id)).steps.filter((step) => step.state === "done").length).toBeGreaterThan(0);
      expect((await lab.topology())?.instance_id).toBe(target);
      await lab.waitHealthy();
      expect(await writableNodes(lab)).toHaveLength(1);
    },
  );
};
