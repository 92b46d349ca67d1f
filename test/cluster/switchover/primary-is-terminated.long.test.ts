import { expect, it } from "vitest";
import { roles } from "../lab-fixture.ts";
import { useSituation } from "../situation.ts";

const here = useSituation();

it("the group terminates the primary: it hands over first, by a switchover, and no new timeline begins", async () => {
  const { primary, record } = await roles(here.lab);
  const writing = await here.clientsWrite();
  await here.lab.terminate(primary.instanceId);
  await here.anotherIsPrimary(primary, 60_000);
  const now = await here.lab.topology();
  expect(now).toMatchObject({ timeline: record.timeline, failover_from: primary.instanceId });
  expect(now?.operation_id).toBe(`hand-over-${primary.instanceId}-${record.fence}`);
  await here.lab.waitUntil(
    "it is gone, and its replacement is there",
    async () => {
      const seen = (await here.lab.nodes()).map((node) => node.instanceId);
      return (seen.length === 3 && !seen.includes(primary.instanceId)) || { seen };
    },
    120_000,
  );
  await here.expectSound(writing);
});
