import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { peerCutsMissing } from "#lab/peer-cuts.ts";
import { roles, writableNodes } from "../lab-fixture.ts";
import { useSituation, writesGoOn } from "../situation.ts";

const missing = await peerCutsMissing();

const here = useSituation();
afterEach(async () => {
  here.lab.faults.clear();
  await here.lab.heal();
});

const cutFromStore = (instanceIds: readonly string[]): void => {
  for (const principal of instanceIds) {
    here.lab.faults.add({ match: { principal, service: "dynamodb" }, effect: { kind: "cut" } });
  }
};

/** Longer than a lease, and than anybody needs to act on it. */
const wellPastALease = 9000;

describe("the primary loses DynamoDB", () => {
  it("alone: it goes on while its ackers are connected, and nobody replaces it", async () => {
    const { primary, record } = await roles(here.lab);
    const writing = await here.clientsWrite(2);
    cutFromStore([primary.instanceId]);
    await delay(wellPastALease);
    await writesGoOn(here.lab, writing, 5000);
    expect((await here.lab.topology())?.fence).toBe(record.fence);
    here.lab.faults.clear();
    await here.expectSound(writing);
  });

  it("alone, and its agent is started anew: it stays in the target groups, and writes go on", async () => {
    const { primary, record } = await roles(here.lab);
    const writing = await here.clientsWrite(2);
    cutFromStore([primary.instanceId]);
    await here.lab.machine(primary.name).killProcess("agent");
    await here.lab.waitUntil(
      "its agent answers, and has not read the record",
      async () => {
        const { role } = await here.lab.status(primary.name);
        return role === "unknown" || role;
      },
      15_000,
    );
    await delay(wellPastALease);
    const seen = (await here.lab.overview()).nodes.find(({ name }) => name === primary.name);
    expect(["in", "unhealthy"]).toContain(seen?.writeTarget);
    await writesGoOn(here.lab, writing, 5000);
    expect((await here.lab.topology())?.fence).toBe(record.fence);
    here.lab.faults.clear();
    await here.expectSound(writing);
  });

  it("with everybody else: nobody is replaced; when it then dies nobody is promoted before DynamoDB is back", async () => {
    const { primary } = await roles(here.lab);
    const writing = await here.clientsWrite(2);
    cutFromStore((await here.lab.nodes()).map((node) => node.instanceId));
    await delay(wellPastALease);
    await writesGoOn(here.lab, writing, 5000);
    await here.lab.machine(primary.name).kill();
    await delay(4000);
    expect(await writableNodes(here.lab)).toEqual([]);
    here.lab.faults.clear();
    await here.anotherIsPrimary(primary, 20_000);
    await here.backAndHealthy(primary.name);
    await here.expectSound(writing);
  });
});

describe.skipIf(missing !== undefined)(
  `the primary loses its peers${missing === undefined ? "" : `: SKIPPED, ${missing}`}`,
  () => {
    const cutFromPeers = async (): Promise<void> => {
      const { primary, replicas } = await roles(here.lab);
      for (const { name } of replicas) await here.lab.cutPeers(primary.name, name);
    };

    it("and keeps DynamoDB: it stays, no commit is acknowledged by nobody, and writes go on when they are back", async () => {
      const { primary } = await roles(here.lab);
      const writing = await here.clientsWrite(2);
      await cutFromPeers();
      await delay(wellPastALease);
      expect((await here.lab.topology())?.instance_id).toBe(primary.instanceId);
      await here.lab.heal();
      await writesGoOn(here.lab, writing, 30_000);
      await here.expectSound(writing);
    });

    it("and DynamoDB: another takes over, and the old one, which still believes, acknowledges nothing and is demoted", async () => {
      const { primary } = await roles(here.lab);
      const writing = await here.clientsWrite(4);
      await cutFromPeers();
      cutFromStore([primary.instanceId]);
      await here.anotherIsPrimary(primary, 30_000);
      await writesGoOn(here.lab, writing, 30_000);
      await here.lab.heal();
      here.lab.faults.clear();
      await here.onlyOthersWritable(primary);
      await here.expectSound(writing);
    });
  },
);
