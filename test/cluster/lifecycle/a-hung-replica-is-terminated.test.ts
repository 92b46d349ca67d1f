import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { Lab } from "#lab/lab.ts";
import { printJournalsOnFailure, roles, startTestLab } from "../lab-fixture.ts";
import { expectAllThere, makeTable, startWriting } from "../writing.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await startTestLab();
  await lab.waitHealthy();
  await makeTable(lab);
});
afterAll(() => lab?.down());
beforeEach(() => printJournalsOnFailure(() => lab, 60));

it("a replica that hangs is terminated: it goes long before its hook's own time, and its replacement joins", async () => {
  const { primary, record, replicas } = await roles(lab);
  const [hung] = replicas;
  if (!hung) throw new Error("There is no replica.");
  const writing = startWriting(lab);
  await lab.waitUntil("some writes", () => writing.acknowledged() > 20 || String(writing.acknowledged()), 20_000);
  await lab.machine(hung.name).stop();
  await lab.terminate(hung.instanceId);
  // Its hook has 300 s.
  await lab.waitUntil(
    "it is gone",
    async () => {
      const seen = (await lab.nodes()).map((node) => `${node.instanceId} ${node.lifecycle}`);
      return !seen.some((each) => each.startsWith(hung.instanceId)) || { seen };
    },
    120_000,
  );
  const { nodes } = await lab.waitHealthy();
  expect(nodes.map((node) => node.instanceId)).not.toContain(hung.instanceId);
  await expectAllThere(lab, await writing.stop());
  const now = await roles(lab);
  expect(now.record).toMatchObject({ instance_id: primary.instanceId, fence: record.fence });
  expect(now.record.ackers.map((acker) => acker.instance_id)).not.toContain(hung.instanceId);
});
