import { expect, it } from "vitest";
import { roles } from "../lab-fixture.ts";
import { useSituation } from "../situation.ts";

const here = useSituation();

it("a replica that hangs is terminated: it goes long before its hook's own time, and its replacement joins", async () => {
  const { primary, record, replicas } = await roles(here.lab);
  const [hung] = replicas;
  if (!hung) throw new Error("There is no replica.");
  const writing = await here.clientsWrite();
  await here.lab.machine(hung.name).stop();
  await here.lab.terminate(hung.instanceId);
  // Its hook has 300 s.
  await here.isGone(hung);
  const { nodes } = await here.lab.waitHealthy();
  expect(nodes.map((node) => node.instanceId)).not.toContain(hung.instanceId);
  await here.expectSound(writing);
  const now = await roles(here.lab);
  expect(now.record).toMatchObject({ instance_id: primary.instanceId, fence: record.fence });
  expect(now.record.ackers.map((acker) => acker.instance_id)).not.toContain(hung.instanceId);
});
