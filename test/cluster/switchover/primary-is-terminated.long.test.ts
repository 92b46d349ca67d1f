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

it("the group terminates the primary: it hands over first, by a switchover, and no new timeline begins", async () => {
  const { primary, record } = await roles(lab);
  const writing = startWriting(lab);
  await lab.waitUntil("some writes", () => writing.acknowledged() > 20 || String(writing.acknowledged()), 20_000);
  await lab.terminate(primary.instanceId);
  await lab.waitUntil(
    "another is the primary",
    async () => ((await lab.topology())?.instance_id !== primary.instanceId ? true : "not yet"),
    60_000,
  );
  const now = await lab.topology();
  expect(now).toMatchObject({ timeline: record.timeline, failover_from: primary.instanceId });
  expect(now?.operation_id).toBe(`hand-over-${primary.instanceId}-${record.fence}`);
  await lab.waitUntil(
    "it is gone, and its replacement is there",
    async () => {
      const nodes = await lab.nodes();
      const seen = nodes.map((node) => node.instanceId);
      return (nodes.length === 3 && !seen.includes(primary.instanceId)) || { seen };
    },
    120_000,
  );
  await lab.waitHealthy();
  await expectAllThere(lab, await writing.stop());
  expect(await writableNodes(lab)).toHaveLength(1);
});
