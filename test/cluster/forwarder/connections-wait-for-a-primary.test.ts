import { expect, it } from "vitest";
import { eventually, several, useRigs } from "./forwarder-fixture.ts";

const newRig = useRigs();

it("a client that is connected stays, through looks at the forwarder that change nothing", async () => {
  const { nodes, makePrimary, forwarder, desired, write } = await newRig();
  const [one] = nodes;
  await makePrimary(one);
  const client = write();
  expect(await client.greeted()).toBe("one");
  for (let round = 0; round < 10; round += 1) await forwarder.apply(desired(one));
  expect(await client.alive()).toBe(true);
});

it("connections that arrive between two primaries are answered by the new one, and the old one's are cut", async () => {
  const { nodes, makePrimary, forwarder, desired, write } = await newRig();
  const [one, two] = nodes;
  await makePrimary(one);
  const before = write();
  await before.greeted();

  one.says = "neither";
  await forwarder.apply(desired(undefined));
  expect(await before.alive()).toBe(true);
  const waiting = await several(20, write);
  const acceptedByOld = one.accepted();

  two.says = "primary";
  const opened = performance.now();
  await forwarder.apply(desired(two, [one]));
  const told = performance.now() - opened;
  expect(await Promise.all(waiting.map((client) => client.greeted()))).toEqual(waiting.map(() => "two"));
  const longest = Math.max(...waiting.map(({ greetedAt }) => greetedAt)) - opened;
  expect(longest).toBeLessThan(200);
  expect(told).toBeLessThan(50);
  expect(one.accepted()).toBe(acceptedByOld);
  await eventually("the old primary's session has ended", () => before.ended, 1000);
  expect(await write().greeted()).toBe("two");
});

it.each([
  ["whose mysqld is dead", "stopServer"],
  ["that answers nothing at all", "silenceServer"],
] as const)("connections that wait for a primary %s outlive the cut of its sessions", async (_what, happens) => {
  const { nodes, makePrimary, write } = await newRig();
  const [one, two] = nodes;
  await makePrimary(one);
  await one[happens]();
  const waiting = await several(30, write, 3);
  await makePrimary(two, [one]);
  expect(await Promise.all(waiting.map((client) => client.greeted()))).toEqual(waiting.map(() => "two"));
});

it("an undo gives the waiting connections back to the old primary", async () => {
  const { nodes, makePrimary, forwarder, desired, write } = await newRig();
  const [one] = nodes;
  await makePrimary(one);
  const before = write();
  await before.greeted();
  await forwarder.apply(desired(undefined));
  const waiting = await several(5, write);
  await forwarder.apply(desired(one));
  expect(await Promise.all(waiting.map((client) => client.greeted()))).toEqual(waiting.map(() => "one"));
  expect(await before.alive()).toBe(true);
});

it("a connection is held for about six seconds, and a client that leaves earlier reaches nobody", async () => {
  const { nodes, makePrimary, forwarder, desired, write } = await newRig();
  const [one] = nodes;
  await forwarder.apply(desired(undefined));
  const began = performance.now();
  const patient = write();
  const gone = write();
  await eventually("HAProxy has taken the connections", () => performance.now() - began > 200, 1000);
  gone.close();
  await eventually("the patient one is given up", () => patient.ended, 10_000);
  expect(patient.endedAt - began).toBeGreaterThan(5000);
  expect(patient.endedAt - began).toBeLessThan(9000);
  await makePrimary(one);
  expect(await write().greeted()).toBe("one");
  expect(one.accepted()).toBe(1);
});
