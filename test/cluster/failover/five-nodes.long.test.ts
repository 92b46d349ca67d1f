import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { Lab } from "#lab/lab.ts";
import { printJournalsOnFailure, roles, startTestLab, writableNodes } from "../lab-fixture.ts";
import { beginSwitchover, ended } from "../switchover-fixture.ts";
import { expectAllThere, makeTable, startWriting } from "../writing.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await startTestLab({ nodes: 5 });
  await lab.waitHealthy(240_000);
  await makeTable(lab);
});
afterAll(() => lab?.down());
beforeEach(() => printJournalsOnFailure(() => lab, 60));

it("five nodes, the primary and a replica die at once: another takes over, and commits wait for two", async () => {
  const { primary, record, replicas } = await roles(lab);
  expect(record.wait_count).toBe(2);
  const writing = startWriting(lab);
  await lab.waitUntil("some writes", () => writing.acknowledged() > 20 || "few", 30_000);
  await Promise.all([primary.name, replicas[0]?.name ?? ""].map((name) => lab.machine(name).kill()));
  await lab.waitUntil(
    "another is the primary",
    async () => ((await lab.topology())?.instance_id !== primary.instanceId ? true : "not yet"),
    40_000,
  );
  const before = writing.acknowledged();
  await lab.waitUntil("writes go on", () => writing.acknowledged() > before + 20 || "no", 30_000);
  for (const name of [primary.name, replicas[0]?.name ?? ""]) await lab.machine(name).start();
  await lab.waitHealthy(240_000);
  await expectAllThere(lab, await writing.stop());
  expect(await writableNodes(lab)).toHaveLength(1);
});

it("five nodes: a switchover leaves the old primary as many ackers as its commits wait for", async () => {
  const writing = startWriting(lab);
  const { replicas } = await roles(lab);
  const target = replicas[0];
  const id = await beginSwitchover(lab, target?.name ?? "", { target: target?.instanceId ?? "" });
  expect((await ended(lab, id)).state).toBe("succeeded");
  await lab.waitHealthy(240_000);
  await expectAllThere(lab, await writing.stop());
});
