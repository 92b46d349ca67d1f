import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as gtid from "#contract/gtid.ts";
import type { Acker, TopologyRecord } from "#contract/topology.ts";
import { decidePromotion, type FrozenReplica, type PromotionView } from "#node/lib/cluster/promotion.ts";
import { n2, n3, record, uuid1 } from "./samples.ts";

const [n4, n5, n6] = ["i-00000000000000004", "i-00000000000000005", "i-00000000000000006"] as const;
const listed = (...ids: string[]): Acker[] => ids.map((instance_id) => ({ instance_id, incarnation: "inc-1" }));
const frozen = (instanceId: string, holds: string, incarnation: string | undefined = "inc-1"): FrozenReplica => ({
  instanceId,
  serverUuid: instanceId.replace(/^i-0*(\d)$/, "$1$1$1$1$1$1$1$1-0000-0000-0000-000000000000"),
  incarnation,
  holds,
});
const upTo = (last: number): string => (last === 0 ? "" : `${uuid1}:1-${last}`);
const view = (change: Partial<PromotionView> & { ackers?: Acker[]; w?: number }): PromotionView => {
  const { ackers = listed(n2, n3), w = 1, ...rest } = change;
  return {
    record: record({ ackers, wait_count: w }),
    frozen: [],
    refused: [],
    preferred: n2,
    ...rest,
  };
};
const five = { ackers: listed(n2, n3, n4, n5), w: 2 };
const degraded = { since: "2026-11-21T00:00:00Z", by: "write_without_ackers" };

/** Who is promoted, or `nobody`. */
const short = (v: PromotionView): string => decidePromotion(v, gtid).promote?.instanceId ?? "nobody";
const why = (v: PromotionView): string => {
  const decision = decidePromotion(v, gtid);
  return decision.promote ? "" : decision.because;
};

describe("who replaces the primary", () => {
  it.each<[string, Partial<PromotionView> & { ackers?: Acker[]; w?: number }, string]>([
    ["both ackers hold the same: the one that leads", { frozen: [frozen(n3, upTo(9)), frozen(n2, upTo(9))] }, n2],
    ["the other one holds more", { frozen: [frozen(n2, upTo(8)), frozen(n3, upTo(9))] }, n3],
    ["neither leads", { preferred: n6, frozen: [frozen(n2, upTo(9)), frozen(n3, upTo(9))] }, n2],
    ["one of two ackers, which may be the one without it", { frozen: [frozen(n2, upTo(9))] }, "nobody"],
    ["the only listed acker", { ackers: listed(n2), frozen: [frozen(n2, upTo(9))] }, n2],
    [
      "an acker that restarted since it was listed is not counted",
      { frozen: [frozen(n2, upTo(9)), frozen(n3, upTo(9), "inc-2")] },
      "nobody",
    ],
    [
      "an acker whose incarnation nobody knows is not counted",
      { frozen: [frozen(n2, upTo(9)), { ...frozen(n3, upTo(9)), incarnation: undefined }] },
      "nobody",
    ],
    [
      "a replica off the list does not count for one on it",
      { ackers: listed(n2, n3), frozen: [frozen(n2, upTo(9)), frozen(n4, upTo(9))] },
      "nobody",
    ],
    [
      "a replica off the list that holds everything may be the one",
      { ackers: listed(n2), preferred: n4, frozen: [frozen(n2, upTo(9)), frozen(n4, upTo(9))] },
      n4,
    ],
    [
      "a replica off the list that holds more than the acker: nothing of what is known is given up",
      { ackers: listed(n2), frozen: [frozen(n2, upTo(9)), frozen(n4, upTo(10))] },
      n4,
    ],
    [
      "a replica with a transaction of its own",
      {
        frozen: [frozen(n2, `${upTo(9)},22222222-0000-0000-0000-000000000000:1`), frozen(n3, upTo(10))],
      },
      "nobody",
    ],
    [
      "a replica off the list with a transaction of its own: the acker that holds everything acknowledged is promoted",
      {
        ackers: listed(n3),
        preferred: n3,
        frozen: [frozen(n2, `${upTo(7)},22222222-0000-0000-0000-000000000000:1`), frozen(n3, upTo(9))],
      },
      n3,
    ],
    ["nobody is listed", { ackers: [], frozen: [frozen(n2, upTo(9)), frozen(n3, upTo(9))] }, "nobody"],
    ["commits wait for nobody", { ackers: [], w: 0, frozen: [frozen(n2, upTo(9))] }, "nobody"],
    ["nobody could be frozen", {}, "nobody"],
    ["five nodes, one acker dead", { ...five, frozen: [n2, n3, n4].map((id) => frozen(id, upTo(9))) }, n2],
    [
      "five nodes, two ackers dead beside the primary",
      { ...five, frozen: [frozen(n2, upTo(9)), frozen(n3, upTo(9))] },
      "nobody",
    ],
    [
      "five nodes, one of them shrunk away: two of three",
      { ackers: listed(n2, n3, n4), w: 2, frozen: [frozen(n3, upTo(9)), frozen(n4, upTo(7))] },
      n3,
    ],
    [
      "five nodes, fewer listed than the wait count",
      { ackers: listed(n2), w: 2, frozen: [frozen(n2, upTo(9)), frozen(n3, upTo(9))] },
      "nobody",
    ],
  ])("%s", (_name, change, expected) => {
    expect(short(view(change))).toBe(expected);
  });

  it("refuses while commits wait for too few, even when all ackers are there again", () => {
    const both = [frozen(n2, upTo(9)), frozen(n3, upTo(9))];
    const refused = view({ frozen: both, record: record({ ackers: listed(n2, n3), degraded }) });
    expect(short(refused)).toBe("nobody");
    expect(why(refused)).toMatch(/degraded since 2026-11-21/);
  });

  it("says who is missing, and why each is", () => {
    const text = why(
      view({
        ...five,
        frozen: [frozen(n2, upTo(9)), frozen(n3, upTo(9), "inc-2")],
        refused: [{ instanceId: n4, because: "its own stream from the primary is alive" }],
      }),
    );
    expect(text).toMatch(/1 of the 3/);
    expect(text).toContain(`${n3} (it restarted since it was listed)`);
    expect(text).toContain(`${n4} (its own stream from the primary is alive)`);
    expect(text).toContain(`${n5} (it did not answer)`);
    expect(text).not.toContain(n2);
  });

  it("has the successor execute all that any frozen one holds, received or executed", () => {
    const decision = decidePromotion(view({ frozen: [frozen(n2, upTo(7)), frozen(n3, upTo(9))] }), gtid);
    expect(decision).toMatchObject({ promote: { instanceId: n3 }, union: upTo(9), missing: [] });
  });
});

describe("when a person accepts the loss", () => {
  it.each<[string, Partial<PromotionView> & { ackers?: Acker[]; w?: number }, string, string, string[]]>([
    ["the only one left", { preferred: n3, frozen: [frozen(n3, upTo(4))] }, n3, upTo(4), [n2]],
    [
      "whoever has more than the named one",
      { preferred: n3, frozen: [frozen(n3, upTo(4)), frozen(n2, upTo(5))] },
      n2,
      upTo(5),
      [],
    ],
    [
      "a restarted acker: it may have lost what it acknowledged",
      { preferred: n3, frozen: [frozen(n3, upTo(4), "inc-2")] },
      n3,
      upTo(4),
      [n2, n3],
    ],
    ["nobody is listed", { ackers: [], preferred: n3, frozen: [frozen(n3, upTo(4))] }, n3, upTo(4), []],
    [
      "histories that parted: the named one, which loses the other's",
      {
        preferred: n3,
        frozen: [frozen(n2, `${upTo(4)},22222222-0000-0000-0000-000000000000:1`), frozen(n3, upTo(5))],
      },
      n3,
      upTo(5),
      [],
    ],
  ])("%s", (_name, change, expected, union, missing) => {
    expect(decidePromotion(view({ ...change, acceptLoss: true }), gtid)).toMatchObject({
      promote: { instanceId: expected },
      union,
      missing,
    });
  });

  it("still needs somebody", () => {
    expect(short(view({ acceptLoss: true }))).toBe("nobody");
  });
});

/** One acker or other replica through a history. All numbers are lengths of prefixes of the stream. */
interface Past {
  readonly listed: boolean;
  /** All that it acknowledged while listed in its recorded incarnation. */
  readonly acknowledged: number;
  /** What it holds when it is asked. */
  readonly holds: number;
  readonly restarted: boolean;
  readonly answers: boolean;
}

interface History {
  readonly record: TopologyRecord;
  readonly stream: readonly string[];
  readonly pasts: readonly Past[];
  readonly view: PromotionView;
  /** Length of the prefix that was acknowledged by enough listed ackers in their recorded incarnation. */
  readonly committed: number;
}

const lineages = [uuid1, "aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000:tag"];

/** The first `length` transactions of a stream that several primaries wrote, one after the other. */
const prefixOf = (stream: readonly string[], length: number): string => {
  const written = new Map<string, number>();
  for (const source of stream.slice(0, length)) written.set(source, (written.get(source) ?? 0) + 1);
  return gtid.normalise([...written].map(([source, last]) => `${source}:1-${last}`).join(","));
};

const past = (length: number): fc.Arbitrary<Past> =>
  fc
    .record({
      listed: fc.boolean(),
      acknowledged: fc.nat(length),
      more: fc.nat(3),
      lost: fc.nat(length),
      restarted: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
      answers: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
    })
    .map(({ acknowledged, lost, more, restarted, ...rest }) => ({
      ...rest,
      restarted,
      acknowledged,
      // In one incarnation what was acknowledged is kept; a restart may lose the end of it.
      holds: restarted ? Math.max(0, acknowledged - lost) : Math.min(length, acknowledged + more),
    }));

const histories: fc.Arbitrary<History> = fc
  .record({
    lengths: fc.array(fc.nat(5), { minLength: 1, maxLength: 3 }),
    w: fc.nat(3),
    isDegraded: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  })
  .chain(({ lengths, w, isDegraded }) => {
    const stream = lengths.flatMap((length, i) => Array<string>(length).fill(lineages[i] ?? uuid1));
    return fc.tuple(fc.array(past(stream.length), { maxLength: 5 }), fc.nat(5)).map(([pasts, leader]): History => {
      const name = (i: number): string => `i-0000000000000000${i + 2}`;
      const ackers = pasts.flatMap((each, i) => (each.listed ? listed(name(i)) : []));
      const rec = record({ ackers, wait_count: w, ...(isDegraded ? { degraded } : {}) });
      const acks = pasts
        .filter((each) => each.listed)
        .map((each) => each.acknowledged)
        .sort((a, b) => b - a);
      return {
        record: rec,
        stream,
        pasts,
        // The w-th longest: enough ackers have acknowledged as much. With a wait count of 0 everything is.
        committed: w === 0 ? stream.length : (acks[w - 1] ?? 0),
        view: {
          record: rec,
          preferred: name(leader),
          refused: pasts.flatMap((each, i) => (each.answers ? [] : [{ instanceId: name(i), because: "silent" }])),
          frozen: pasts.flatMap((each, i) =>
            each.answers ? [frozen(name(i), prefixOf(stream, each.holds), each.restarted ? "inc-2" : "inc-1")] : [],
          ),
        },
      };
    });
  });

describe("in every history", () => {
  it("the promoted node has to execute every write that enough listed ackers acknowledged, and holds it", () => {
    let promoted = 0;
    fc.assert(
      fc.property(histories, ({ committed, stream, view: seen }) => {
        const decision = decidePromotion(seen, gtid);
        if (!decision.promote) return;
        promoted += 1;
        expect(gtid.contains(decision.union, prefixOf(stream, committed))).toBe(true);
        expect(gtid.contains(decision.promote.holds, decision.union)).toBe(true);
      }),
      { numRuns: 1500 },
    );
    // A property about promotions says nothing when there are none.
    expect(promoted).toBeGreaterThan(100);
  });

  it("it is promoted exactly when N-w+1 listed ackers are frozen in their recorded incarnation, N is at least w, and w is not 0", () => {
    fc.assert(
      fc.property(histories, ({ pasts, record: rec, view: seen }) => {
        const counted = pasts.filter((each) => each.listed && each.answers && !each.restarted).length;
        const [n, w] = [rec.ackers.length, rec.wait_count];
        const expected = !rec.degraded && w > 0 && n >= w && counted >= n - w + 1;
        expect(decidePromotion(seen, gtid).promote !== undefined).toBe(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it("whoever leads the attempt and in whatever order they answer, the required set is the same", () => {
    fc.assert(
      fc.property(histories, fc.nat(5), ({ view: seen }, leader) => {
        const one = decidePromotion(seen, gtid);
        const other = decidePromotion(
          { ...seen, preferred: `i-0000000000000000${leader + 2}`, frozen: [...seen.frozen].reverse() },
          gtid,
        );
        expect("union" in other ? other.union : undefined).toBe("union" in one ? one.union : undefined);
      }),
    );
  });

  it("one frozen acker fewer is too few: what the others acknowledged may be with none of the frozen", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 9 }),
        (n, w, last) => {
          fc.pre(n >= w);
          const names = Array.from({ length: n }, (_, i) => `i-0000000000000000${i + 2}`);
          // The w that are not frozen have acknowledged one more than the rest hold.
          const rest = names.slice(w).map((id) => frozen(id, upTo(last - 1)));
          expect(short(view({ ackers: listed(...names), w, frozen: rest }))).toBe("nobody");
        },
      ),
    );
  });

  it("a person who accepts the loss gets the most that is there, and is told of every acker whose state is not known", () => {
    fc.assert(
      fc.property(histories, ({ pasts, view: seen }) => {
        fc.pre(seen.frozen.length > 0);
        const decision = decidePromotion({ ...seen, acceptLoss: true }, gtid);
        if (!decision.promote) throw new Error("nobody");
        for (const each of seen.frozen) expect(gtid.contains(decision.promote.holds, each.holds)).toBe(true);
        const unknown = pasts.flatMap((each, i) =>
          each.listed && (each.restarted || !each.answers) ? [`i-0000000000000000${i + 2}`] : [],
        );
        expect(decision.missing).toEqual(unknown);
      }),
    );
  });

  it("with histories that parted, nobody is promoted who lacks something that another holds", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(4), fc.nat(4)), { minLength: 1, maxLength: 4 }), (parts) => {
        const names = parts.map((_, i) => `i-0000000000000000${i + 2}`);
        const others = parts.map(([a, b], i) =>
          frozen(names[i] as string, gtid.normalise(`${uuid1}:1-${a},${lineages[1]}:1-${b}`)),
        );
        const decision = decidePromotion(view({ ackers: listed(...names), frozen: others }), gtid);
        if (!decision.promote) return;
        for (const each of others) expect(gtid.contains(decision.promote.holds, each.holds)).toBe(true);
      }),
    );
  });
});
