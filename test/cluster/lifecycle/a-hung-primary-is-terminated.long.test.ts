import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { Lab } from "#lab/lab.ts";
import { printJournalsOnFailure, roles, startTestLab, writableNodes } from "../lab-fixture.ts";
import { expectAllThere, makeTable, startWriting } from "../writing.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await startTestLab();
  await lab.waitHealthy();
  await makeTable(lab);
});
afterAll(() => lab?.down());
beforeEach(() => printJournalsOnFailure(() => lab, 60));

it("a primary that hangs is terminated: the others replace it, it goes long before its hook's own time, and no write is lost", async () => {
  const { primary, record } = await roles(lab);
  const writing = startWriting(lab);
  await lab.waitUntil("some writes", () => writing.acknowledged() > 20 || String(writing.acknowledged()), 20_000);
  await lab.machine(primary.name).stop();
  await lab.terminate(primary.instanceId);
  await lab.waitUntil(
    "it is gone",
    async () => {
      const seen = (await lab.nodes()).map((node) => `${node.instanceId} ${node.lifecycle}`);
      return !seen.some((each) => each.startsWith(primary.instanceId)) || { seen };
    },
    120_000,
  );
  await lab.waitHealthy();
  await expectAllThere(lab, await writing.stop());
  const now = await lab.topology();
  expect(now).toMatchObject({ failover_from: primary.instanceId, timeline: record.timeline + 1 });
  expect(await writableNodes(lab)).toHaveLength(1);
});
