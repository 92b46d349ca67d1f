import { expect, it } from "vitest";
import { roles } from "../lab-fixture.ts";
import { useSituation } from "../situation.ts";

const here = useSituation();

it("a primary that hangs is terminated: the others replace it, it goes long before its hook's own time, and no write is lost", async () => {
  const { primary, record } = await roles(here.lab);
  const writing = await here.clientsWrite();
  await here.lab.machine(primary.name).stop();
  await here.lab.terminate(primary.instanceId);
  await here.isGone(primary);
  await here.expectSound(writing);
  const now = await here.lab.topology();
  expect(now).toMatchObject({ failover_from: primary.instanceId, timeline: record.timeline + 1 });
});
