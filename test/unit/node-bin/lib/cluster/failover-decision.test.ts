import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LeaseItem } from "#contract/lease.ts";
import {
  decideFailover,
  type FailoverView,
  mayFreeze,
  primaryHasLetGo,
  type SeenPrimaryLease,
} from "#node/lib/cluster/failover-decision.ts";
import { n1, n2, n3, record } from "./samples.ts";

const item = (change: Partial<LeaseItem> = {}): LeaseItem => ({
  pk: "primary-c1",
  lease_ms: 3000,
  rvn: "rvn-7",
  fence: 4,
  ...change,
});
const held: SeenPrimaryLease = { state: "held", item: item({ owner: `${n1}/1` }) };
const stale: SeenPrimaryLease = { state: "stale", item: item({ owner: `${n1}/1` }) };
const letGo = (by: string, why = "mysqld ended"): SeenPrimaryLease => ({
  state: "free",
  item: item({ released: why, released_by: by }),
});
const view = (change: Partial<FailoverView>): FailoverView => ({
  me: n2,
  record: record(),
  lease: stale,
  usable: true,
  leaving: false,
  streamAlive: false,
  ...change,
});

describe("whether the primary has to be replaced", () => {
  it.each<[string, Partial<FailoverView>, boolean]>([
    ["the lease is stale and the stream is dead", {}, true],
    ["the primary renews its lease", { lease: held }, false],
    ["the primary renews its lease, and only this node is cut off from it", { lease: held, streamAlive: false }, false],
    [
      "the lease is stale, and the primary still feeds this node: it is cut off from the store only",
      { streamAlive: true },
      false,
    ],
    ["the primary's own agent let go: mysqld is dead", { lease: letGo(`${n1}/1`) }, true],
    ["the primary let go, and the stream seems alive yet", { lease: letGo(`${n1}/1`), streamAlive: true }, true],
    ["the primary let go, named without its process", { lease: letGo(n1), streamAlive: true }, true],
    [
      "a former primary let go, and the stream from the recorded one is alive",
      { lease: letGo(`${n3}/1`), streamAlive: true },
      false,
    ],
    ["a former primary let go, and the recorded one never came", { lease: letGo(`${n3}/1`) }, true],
    ["an instance whose name begins like the primary's let go", { lease: letGo(`${n1}7/1`), streamAlive: true }, false],
    [
      "nobody ever held the lease, and the stream is alive",
      { lease: { state: "free", item: undefined }, streamAlive: true },
      false,
    ],
    ["the lease was not looked at yet", { lease: undefined }, false],
    ["there is no record", { record: undefined }, false],
    ["the cluster is forming: its takeover is the bootstrap's", { record: record({ phase: "forming" }) }, false],
    ["this node is the recorded primary", { me: n1 }, false],
    ["its own mysqld is down, or its bootstrap is at work", { usable: false }, false],
    ["its group is about to terminate it", { leaving: true }, false],
  ])("%s", (_name, change, expected) => {
    expect(decideFailover(view(change)).attempt).toBe(expected);
  });

  it("says why the primary let go", () => {
    expect(decideFailover(view({ lease: letGo(`${n1}/1`, "mysqld was killed") })).because).toContain(
      "mysqld was killed",
    );
  });

  it("a lease that somebody took again after it was let go is not let go", () => {
    expect(primaryHasLetGo({ state: "held", item: item({ owner: `${n1}/2`, released_by: `${n1}/1` }) }, record())).toBe(
      false,
    );
    expect(primaryHasLetGo(undefined, record())).toBe(false);
  });
});

type Question = Parameters<typeof mayFreeze>[0];
const question = (change: Partial<Question>): Question => ({
  me: n2,
  record: record(),
  primary: n1,
  fence: 6,
  streamAlive: false,
  letGo: false,
  forced: false,
  ...change,
});

describe("whether a replica may be frozen", () => {
  it.each<[string, Partial<Question>, boolean]>([
    ["its stream is dead", {}, true],
    ["its stream is alive: the one who asks is cut off", { streamAlive: true }, false],
    ["its stream seems alive, and the primary let go", { streamAlive: true, letGo: true }, true],
    ["its stream is alive, and a person accepts the loss", { streamAlive: true, forced: true }, true],
    ["the record was not read", { record: undefined }, false],
    ["another is recorded meanwhile", { primary: n3 }, false],
    ["it is the primary", { me: n1 }, false],
    ["a fence as high is recorded already", { fence: 5 }, false],
    ["a higher fence is recorded already: whoever asks was stopped for long", { fence: 4 }, false],
    ["force does not bring back a late attempt", { fence: 5, forced: true }, false],
    ["force does not freeze the primary", { me: n1, forced: true }, false],
  ])("%s", (_name, change, expected) => {
    expect(mayFreeze(question(change)).ok).toBe(expected);
  });
});

it("nobody attempts to replace a primary that renews its lease, or that still feeds the one who asks, unless it let go", () => {
  fc.assert(
    fc.property(
      fc.constantFrom<SeenPrimaryLease>(held, stale, letGo(`${n1}/1`), letGo(`${n3}/1`), {
        state: "free",
        item: undefined,
      }),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      (lease, streamAlive, usable, leaving) => {
        const seen = view({ lease, streamAlive, usable, leaving });
        if (!decideFailover(seen).attempt) return;
        expect(usable && !leaving).toBe(true);
        expect(lease.state).not.toBe("held");
        expect(primaryHasLetGo(lease, record()) || !streamAlive).toBe(true);
      },
    ),
  );
});

it("who may be frozen by a live attempt is never fed by the primary that it replaces, unless it let go or a person accepts the loss", () => {
  fc.assert(
    fc.property(
      fc.record({
        me: fc.constantFrom(n1, n2, n3),
        primary: fc.constantFrom(n1, n3),
        fence: fc.integer({ min: 1, max: 9 }),
        streamAlive: fc.boolean(),
        letGo: fc.boolean(),
        forced: fc.boolean(),
      }),
      (asked) => {
        if (!mayFreeze(question(asked)).ok) return;
        expect(asked.fence).toBeGreaterThan(record().fence);
        expect(asked.primary).toBe(record().instance_id);
        expect(asked.me).not.toBe(record().instance_id);
        expect(!asked.streamAlive || asked.letGo || asked.forced).toBe(true);
      },
    ),
  );
});
