import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { Lab } from "#lab/lab.ts";
import { printJournalsOnFailure, roles, startTestLab, writableNodes } from "../lab-fixture.ts";
import { beginSwitchover, ended, planOn } from "../switchover-fixture.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await startTestLab();
  await lab.waitHealthy();
  await lab.sql("write", "CREATE TABLE app.written (id INT PRIMARY KEY)");
});
afterAll(() => lab?.down());
beforeEach(() => printJournalsOnFailure(() => lab, 60));

it("two nodes of three are gone: the last is promoted only by force, is degraded, and is not when the others are back", async () => {
  const { primary, replicas } = await roles(lab);
  const [gone, last] = replicas;
  await lab.sql("write", "INSERT INTO app.written VALUES (1)");
  for (const name of [gone?.name ?? "", primary.name]) await lab.machine(name).kill();
  const name = last?.name ?? "";
  await lab.waitUntil(
    "the plan without force is refused",
    async () => {
      const { refusals } = await planOn(lab, name);
      return refusals.some(({ reason }) => reason === "node-unreachable") || JSON.stringify(refusals);
    },
    30_000,
  );
  await lab.waitUntil(
    "it says why nobody is promoted",
    async () => {
      const { problems } = await lab.status(name);
      return problems.some((problem) => problem.includes("no-safe-candidate")) || { seen: problems };
    },
    30_000,
  );
  const plan = await planOn(lab, name, { force: true });
  expect(plan.refusals).toEqual([]);
  expect(plan.warnings.join(" ")).toContain(gone?.instanceId);
  expect(plan.warnings.join(" ")).toContain(primary.instanceId);
  const id = await beginSwitchover(lab, name, { force: true });
  expect(await ended(lab, id)).toMatchObject({ state: "succeeded" });
  const record = await lab.topology();
  expect(record).toMatchObject({
    instance_id: last?.instanceId,
    degraded: { operation_id: id },
    failover_from: primary.instanceId,
  });
  await lab.waitUntil(
    "it accepts a write without any acker",
    async () =>
      "affectedRows" in (await lab.sql("write", "REPLACE INTO app.written VALUES (2)")) ? true : "no answer",
    15_000,
  );
  for (const each of [gone?.name ?? "", primary.name]) await lab.machine(each).start();
  await lab.waitHealthy();
  await lab.waitUntil(
    "it is no longer degraded",
    async () => (await lab.topology())?.degraded === undefined || "degraded",
    30_000,
  );
  expect(await writableNodes(lab)).toEqual([name]);
});
