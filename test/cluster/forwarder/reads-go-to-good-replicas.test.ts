import { expect, it } from "vitest";
import { eventually, several, useRigs } from "./forwarder-fixture.ts";

const newRig = useRigs();

it("reads are spread over the good replicas", async () => {
  const { nodes, forwarder, desired, read } = await newRig();
  const [one, two, three] = nodes;
  one.says = "primary";
  two.says = three.says = "replica";
  await forwarder.apply(desired(one));
  const taking = async () =>
    (await forwarder.seen()).filter(({ backend, healthy, address }) => backend === "read" && healthy && address).length;
  await eventually("both replicas were checked", async () => (await taking()) === 2, 5000);
  const clients = await several(10, read);
  const names = await Promise.all(clients.map((client) => client.greeted()));
  expect(names.filter((name) => name === "two")).toHaveLength(5);
  expect(names.filter((name) => name === "three")).toHaveLength(5);

  three.says = "neither";
  await eventually("the one that is behind takes no more", async () => (await taking()) === 1, 5000);
  expect(await Promise.all((await several(4, read)).map((client) => client.greeted()))).toEqual(Array(4).fill("two"));
  expect(await Promise.all(clients.map((client) => client.alive()))).toEqual(Array(10).fill(true));
});

it("without a good replica a read waits two seconds and is refused, and never reaches the primary", async () => {
  const { nodes, makePrimary, read } = await newRig();
  const [one] = nodes;
  await makePrimary(one);
  const began = performance.now();
  const clients = await several(5, read);
  await eventually("all are refused", () => clients.every(({ ended }) => ended), 6000);
  expect(performance.now() - began).toBeGreaterThan(1500);
  expect(nodes.map((node) => node.accepted())).toEqual([0, 0, 0]);
});

it("a read that arrives just before a replica is good again is answered", async () => {
  const { nodes, forwarder, desired, read } = await newRig();
  const [one, two] = nodes;
  one.says = "primary";
  two.says = "replica";
  await two.stopServer();
  await forwarder.apply(desired(one));
  const [client] = await several(1, read, 300);
  await two.startServer();
  expect(await client?.greeted()).toBe("two");
});
