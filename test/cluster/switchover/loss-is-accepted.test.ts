import { expect, it } from "vitest";
import type { LabNode } from "#lab/controls.ts";
import { roles, writableNodes } from "../lab-fixture.ts";
import { balancerMs, useSituation } from "../situation.ts";
import { beginSwitchover, ended, planOn } from "../switchover-fixture.ts";

const here = useSituation();

it("two nodes of three are gone: the last is promoted only by force, is degraded, and is not when the others are back", async () => {
  const { lab } = here;
  const { primary, replicas } = await roles(lab);
  const [gone, last] = replicas as [LabNode, LabNode];
  await lab.sql("write", "INSERT INTO app.written VALUES ('with ackers')");
  for (const { name } of [gone, primary]) await lab.machine(name).kill();
  await lab.waitUntil(
    "the plan without force is refused",
    async () => {
      const { refusals } = await planOn(lab, last.name);
      return refusals.some(({ reason }) => reason === "node-unreachable") || JSON.stringify(refusals);
    },
    30_000,
  );
  await lab.waitUntil(
    "it says why nobody is promoted",
    async () => {
      const { problems } = await lab.status(last.name);
      return problems.some((problem) => problem.includes("no-safe-candidate")) || { seen: problems };
    },
    30_000,
  );
  const plan = await planOn(lab, last.name, { force: true });
  expect(plan.refusals).toEqual([]);
  expect(plan.warnings.join(" ")).toContain(gone.instanceId);
  expect(plan.warnings.join(" ")).toContain(primary.instanceId);
  const id = await beginSwitchover(lab, last.name, { force: true });
  expect(await ended(lab, id)).toMatchObject({ state: "succeeded" });
  expect(await lab.topology()).toMatchObject({
    instance_id: last.instanceId,
    degraded: { operation_id: id },
    failover_from: primary.instanceId,
  });
  await lab.waitUntil(
    "it accepts a write without any acker",
    async () =>
      "affectedRows" in (await lab.sql("write", "REPLACE INTO app.written VALUES ('without')")) ? true : "no answer",
    15_000 + balancerMs,
  );
  await here.backAndHealthy(gone.name, primary.name);
  await lab.waitUntil(
    "it is no longer degraded",
    async () => (await lab.topology())?.degraded === undefined || "degraded",
    30_000,
  );
  expect(await writableNodes(lab)).toEqual([last.name]);
});
