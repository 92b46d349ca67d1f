import { expect, it } from "vitest";
import { runtimeSocket } from "#node/lib/forwarder/runtime-socket.ts";
import { eventually, several, useRigs } from "./forwarder-fixture.ts";

const newRig = useRigs();

it("a restarted HAProxy holds connections until the next look repairs it", async () => {
  const { nodes, makePrimary, forwarder, desired, write, restartHaproxy } = await newRig();
  const [one] = nodes;
  await makePrimary(one);
  expect(await write().greeted()).toBe("one");
  await restartHaproxy();
  const waiting = await several(5, write);
  expect(waiting.map(({ name, ended }) => [name, ended])).toEqual(waiting.map(() => [undefined, false]));
  await forwarder.apply(desired(one));
  expect(await Promise.all(waiting.map((client) => client.greeted()))).toEqual(waiting.map(() => "one"));
});

it("HAProxy that is away is a failure that says where to look, and the next call works", async () => {
  const { forwarder, desired, restartHaproxy, nodes } = await newRig();
  const gone = runtimeSocket("/nowhere/haproxy.sock", 500);
  await expect(gone(["show info"])).rejects.toMatchObject({
    reason: "internal",
    changed: "Nothing was changed.",
    next: expect.stringContaining("percona-forwarder"),
  });
  await restartHaproxy();
  await forwarder.apply(desired(nodes[0]));
});

it("a node that joins takes a free slot; one that leaves loses it and its sessions; the others keep theirs", async () => {
  const { nodes, forwarder, desired, write, read } = await newRig();
  const [one, two, three] = nodes;
  one.says = "primary";
  two.says = three.says = "replica";
  await forwarder.apply(desired(one, [], [one, two]));
  const slotOf = async (address: string) =>
    (await forwarder.seen())
      .filter((slot) => slot.address === address)
      .map(({ backend, name }) => `${backend}/${name}`);
  const reads = read();
  expect(await reads.greeted()).toBe("two");
  const before = await slotOf(two.address);
  await forwarder.apply(desired(one, [], [three, two, one]));
  expect(await slotOf(two.address)).toEqual(before);
  expect(await slotOf(three.address)).toEqual(["write/n3", "read/n3"]);
  await eventually("the new one is read from", async () => (await read().greeted()) === "three", 5000);

  const writes = write();
  await writes.greeted();
  await forwarder.apply(desired(one, [], [one, three]));
  await eventually("its session has ended", () => reads.ended, 1000);
  expect(await slotOf(two.address)).toEqual([]);
  expect(await writes.alive()).toBe(true);
  expect(await read().greeted()).toBe("three");
});

it("an address that is none is refused before anything is said to HAProxy", async () => {
  const { forwarder } = await newRig();
  const address = "127.0.0.1; set server write/n1 state ready";
  await expect(forwarder.apply({ nodes: [{ address }], primary: undefined, cut: [] })).rejects.toThrow("IPv4");
  expect((await forwarder.seen()).every((slot) => slot.address === undefined)).toBe(true);
});
