import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Desired, forwarderChanges } from "#node/lib/forwarder/changes.ts";
import { FakeHaproxy } from "./fake-haproxy.ts";

const [a, b, c, d] = ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"] as const;
const want = (addresses: readonly string[], primary: string | undefined, cut: readonly string[] = []): Desired => ({
  nodes: addresses.map((address) => ({ address })),
  primary,
  cut,
});

const told = (haproxy: FakeHaproxy, desired: Desired, isNews = true): readonly string[] => {
  const { now, cutLater } = forwarderChanges(desired, haproxy.slots, isNews);
  haproxy.execute(now);
  return cutLater;
};

/** Three nodes, the first one primary, everything checked and at rest. */
const atRest = (): FakeHaproxy => {
  const haproxy = new FakeHaproxy(5);
  told(haproxy, want([a, b, c], a));
  for (let round = 0; round < 2; round += 1) {
    haproxy.check("write", [a]);
    haproxy.check("read", [b, c]);
    told(haproxy, want([a, b, c], a), false);
  }
  return haproxy;
};

describe("an empty HAProxy", () => {
  it("gets all nodes at once; writes go to the primary, reads to nobody before a check", () => {
    const haproxy = new FakeHaproxy(5);
    told(haproxy, want([a, b, c], b));
    expect(haproxy.taking("write")).toEqual([b]);
    expect(haproxy.taking("read")).toEqual([]);
    haproxy.check("read", [a, c]);
    expect(haproxy.taking("read").sort()).toEqual([a, c]);
  });

  it("holds new connections while there is no primary", () => {
    const haproxy = new FakeHaproxy(5);
    told(haproxy, want([a, b, c], undefined));
    haproxy.check("write", [a]);
    expect(haproxy.taking("write")).toEqual([]);
  });
});

describe("at rest", () => {
  it("nothing is said, and health checks alone would find another primary", () => {
    const haproxy = atRest();
    expect(forwarderChanges(want([c, b, a], a), haproxy.slots, false)).toEqual({ now: [], cutLater: [] });
    haproxy.check("write", [c]);
    expect(haproxy.taking("write")).toEqual([c]);
  });

  it("what the primary's own health check says stands", () => {
    const haproxy = atRest();
    haproxy.check("write", []);
    told(haproxy, want([a, b, c], a), false);
    expect(haproxy.taking("write")).toEqual([]);
  });

  it("a node that wrongly says that it is the primary gets nothing, as long as it says so", () => {
    const haproxy = atRest();
    for (let round = 0; round < 3; round += 1) {
      haproxy.check("write", [a, b]);
      told(haproxy, want([a, b, c], a), false);
      expect(haproxy.taking("write")).toEqual([a]);
    }
    haproxy.check("write", [a]);
    told(haproxy, want([a, b, c], a), false);
    expect(haproxy.slots.filter(({ address }) => address === b).map(({ admin }) => admin)).toEqual(["ready", "ready"]);
  });
});

describe("another primary", () => {
  it("takes connections without a health check, after the old one has stopped", () => {
    const haproxy = atRest();
    const before = haproxy.commands.length;
    told(haproxy, want([a, b, c], c));
    expect(haproxy.taking("write")).toEqual([c]);
    const said = haproxy.commands.slice(before);
    expect(said).toHaveLength(3);
    expect(said[0]).toMatch(/state drain$/);
  });

  it("the old one's sessions are ended at once when it took no connections any more", () => {
    const haproxy = atRest();
    told(haproxy, want([a, b, c], undefined));
    expect(told(haproxy, want([a, b, c], c, [a, b]))).toEqual([]);
    expect(haproxy.cut.sort()).toEqual(["write/n1", "write/n2"]);
  });

  it("the old one's sessions are ended later when connections may wait for it", () => {
    const haproxy = atRest();
    expect(told(haproxy, want([a, b, c], c, [a]))).toEqual([a]);
    expect(haproxy.cut).toEqual([]);
  });
});

describe("nodes", () => {
  it("a new one takes a free slot, the others keep theirs", () => {
    const haproxy = atRest();
    told(haproxy, want([d, c, b, a], a), false);
    const places = haproxy.slots.filter(({ backend }) => backend === "write").map(({ address }) => address);
    expect(places).toEqual([a, b, c, d, undefined]);
    haproxy.check("write", [a]);
    haproxy.check("read", [b, c]);
    expect(haproxy.taking("read").sort()).toEqual([b, c]);
  });

  it("one that is gone loses its slots and sessions", () => {
    const haproxy = atRest();
    told(haproxy, want([a, c], a), false);
    const places = haproxy.slots.filter(({ backend }) => backend === "read").map(({ address }) => address);
    expect(places).toEqual([a, undefined, c, undefined, undefined]);
    expect(haproxy.cut.sort()).toEqual(["read/n2", "write/n2"]);
  });

  it("a full HAProxy gives the slot of one that is gone to a new one, which starts unchecked", () => {
    const haproxy = new FakeHaproxy(3);
    told(haproxy, want([a, b, c], a));
    haproxy.check("read", [b, c]);
    told(haproxy, want([a, b, d], a), false);
    expect(haproxy.taking("write")).toEqual([a]);
    expect(haproxy.taking("read")).toEqual([b]);
  });

  it("more than slots are refused", () => {
    expect(() => forwarderChanges(want([a, b, c], a), new FakeHaproxy(2).slots, true)).toThrow("2 slots");
  });
});

it("from whatever HAProxy was left in, writes go to the primary or nobody, and it comes to rest", () => {
  const pool = [a, b, c, d];
  const address = fc.constantFrom(...pool);
  const slot = fc.record({
    address: fc.option(address, { nil: undefined }),
    admin: fc.constantFrom("ready" as const, "drain" as const, "maint" as const),
    healthy: fc.boolean(),
  });
  const situation = fc.record({
    left: fc.array(slot, { minLength: 10, maxLength: 10 }),
    nodes: fc.uniqueArray(address, { minLength: 1 }),
    primary: fc.option(address, { nil: undefined }),
    cut: fc.uniqueArray(address),
    isNews: fc.boolean(),
  });
  fc.assert(
    fc.property(situation, ({ left, nodes, primary, cut, isNews }) => {
      const haproxy = new FakeHaproxy(5);
      for (const [at, was] of left.entries()) Object.assign(haproxy.slots[at] ?? {}, was);
      const cutLater = told(haproxy, want(nodes, primary, cut), isNews);
      const taking = haproxy.taking("write");
      expect(taking.filter((each) => each !== primary)).toEqual([]);
      if (isNews && primary !== undefined) expect(taking).toEqual([primary]);
      expect(cut).toEqual(expect.arrayContaining([...cutLater]));
      for (let round = 0; round < 2; round += 1) {
        haproxy.check("write", primary === undefined ? [] : [primary]);
        haproxy.check("read", nodes);
        told(haproxy, want(nodes, primary), false);
      }
      expect(forwarderChanges(want(nodes, primary), haproxy.slots, false).now).toEqual([]);
      expect(haproxy.taking("write")).toEqual(primary === undefined ? [] : [primary]);
      expect(haproxy.taking("read").sort()).toEqual([...nodes].sort());
    }),
    { numRuns: 1000 },
  );
});
