import { setTimeout as delay } from "node:timers/promises";
import { expect, it } from "vitest";
import { eventually, several, useRigs } from "./forwarder-fixture.ts";

const newRig = useRigs();

it("health checks alone move the traffic to another primary; what arrives meanwhile waits", async () => {
  const { nodes, makePrimary, forwarder, desired, write } = await newRig();
  const [one, two] = nodes;
  await makePrimary(one);
  await eventually(
    "the other slots are left to their checks",
    async () => {
      await forwarder.apply(desired(one));
      return (await forwarder.seen()).every(({ admin, address }) => address === undefined || admin === "ready");
    },
    5000,
  );

  const meanwhile = await several(20, write);
  expect(await Promise.all(meanwhile.map((client) => client.greeted()))).toEqual(meanwhile.map(() => "one"));

  // From here on the node's own agent is dead.
  one.says = "neither";
  await eventually(
    "the old primary takes no more",
    async () =>
      (await forwarder.seen()).every(
        ({ backend, healthy, address }) => backend !== "write" || !healthy || address === undefined,
      ),
    2000,
  );
  const waiting = await several(10, write);
  const began = performance.now();
  two.says = "primary";
  expect(await Promise.all(waiting.map((client) => client.greeted()))).toEqual(waiting.map(() => "two"));
  expect(performance.now() - began).toBeLessThan(1500);
});

it("an agent that is away for a second costs nobody a session and no new connection", async () => {
  const { nodes, makePrimary, write } = await newRig();
  const [one] = nodes;
  await makePrimary(one);
  const before = write();
  await before.greeted();
  await one.stopAgent();
  const during = [];
  for (let round = 0; round < 10; round += 1) {
    during.push(await write().greeted());
    await delay(100);
  }
  await one.startAgent();
  expect(new Set(during)).toEqual(new Set(["one"]));
  expect(await before.alive()).toBe(true);
});

it("an agent that says that its node serves no longer ends no session and gets no new one", async () => {
  const { nodes, makePrimary, forwarder, write } = await newRig();
  const [one] = nodes;
  await makePrimary(one);
  const before = write();
  await before.greeted();
  one.says = "neither";
  await eventually(
    "HAProxy knows",
    async () =>
      (await forwarder.seen()).every(
        ({ backend, address, healthy }) => backend !== "write" || address !== one.address || !healthy,
      ),
    2000,
  );
  const [late] = await several(1, write, 300);
  expect([late?.name, late?.ended]).toEqual([undefined, false]);
  expect(await before.alive()).toBe(true);
});

it("readers of a node that is silent for longer than a lease are cut; writers stay until another primary is recorded", async () => {
  const { nodes, forwarder, desired, write, read } = await newRig();
  const [one, two] = nodes;
  one.says = "primary";
  two.says = "replica";
  await forwarder.apply(desired(one));
  const writes = write();
  await writes.greeted();
  const reads = read();
  expect(await reads.greeted()).toBe("two");
  const began = performance.now();
  await Promise.all([one.stopAgent(), two.stopAgent()]);
  await eventually("the reader's session has ended", () => reads.ended, 10_000);
  expect(reads.endedAt - began).toBeGreaterThan(2500);
  expect(await writes.alive()).toBe(true);
});
