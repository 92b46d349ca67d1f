import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findDivergence, findLost, findPhantoms, findTwoWriters, longestGap, rowSet } from "../../chaos/checker.ts";
import type { Outcome, Reign, Row, Write } from "../../chaos/history.ts";

const write = (sentAt: number, answeredAt: number, server: string, outcome: Outcome = "acknowledged"): Write => ({
  writer: 0,
  sequence: Math.round(sentAt * 10),
  sentAt,
  answeredAt,
  outcome,
  server,
});

const numbered = (sequence: number, outcome: Outcome): Write => ({
  ...write(sequence, sequence + 1, "a", outcome),
  sequence,
});

const row = (sequence: number, writer = 0): Row => ({ writer, sequence });

describe("rows of a node", () => {
  const writes = [
    numbered(1, "acknowledged"),
    numbered(2, "refused"),
    numbered(3, "unknown"),
    numbered(4, "acknowledged"),
  ];
  const sent = new Map([[0, 5]]);

  it("may hold or lack what is unknown, and what is still under way", () => {
    for (const rows of [
      [row(1), row(4)],
      [row(1), row(3), row(4), row(5)],
    ]) {
      expect(findLost("n1", rowSet(rows), writes)).toEqual([]);
      expect(findPhantoms("n1", rows, sent, writes)).toEqual([]);
    }
  });

  it("must hold every acknowledged write", () => {
    const found = findLost("n2", rowSet([row(1)]), writes);
    expect(found).toMatchObject([{ kind: "lost" }]);
    expect(found[0]?.message).toContain("1 acknowledged writes are not on n2: 0:4 acknowledged by a");
  });

  it("must hold nothing that was never sent", () => {
    expect(findPhantoms("n1", [row(1), row(6)], sent, writes)).toMatchObject([{ kind: "phantom" }]);
    expect(findPhantoms("n1", [row(1, 9)], sent, writes)).toMatchObject([{ kind: "phantom" }]);
    expect(findPhantoms("n1", [row(0)], sent, writes)).toMatchObject([{ kind: "phantom" }]);
  });

  it("must hold nothing whose writer was told that it failed", () => {
    const [found] = findPhantoms("n1", [row(1), row(2)], sent, writes);
    expect(found?.message).toContain("refused: 0:2");
  });

  it("must be the same on all nodes in the end", () => {
    const same = rowSet([row(1), row(3)]);
    expect(
      findDivergence(
        new Map([
          ["n1", same],
          ["n2", same],
        ]),
      ),
    ).toEqual([]);
    const found = findDivergence(
      new Map([
        ["n1", same],
        ["n2", rowSet([row(1), row(4)])],
      ]),
    );
    expect(found.map(({ message }) => message)).toEqual([
      "1 rows are on n1 and not on n2: 0:3",
      "1 rows are on n2 and not on n1: 0:4",
    ]);
  });
});

describe("two writers", () => {
  const reigns: Reign[] = [
    { server: "a", fence: 1, notBefore: Number.NEGATIVE_INFINITY },
    { server: "b", fence: 2, notBefore: 100 },
    { server: "a", fence: 3, notBefore: 200 },
  ];

  it("are none when one follows the other", () => {
    const writes = [write(10, 20, "a"), write(90, 105, "a"), write(110, 120, "b"), write(210, 220, "a")];
    expect(findTwoWriters(reigns, writes)).toEqual([]);
  });

  it("are none when a slow answer of the old one was sent before the new one's first", () => {
    expect(findTwoWriters(reigns, [write(95, 150, "a"), write(110, 120, "b")])).toEqual([]);
  });

  it("are found when the old one acknowledges what was sent after the new one had acknowledged", () => {
    const found = findTwoWriters(reigns, [write(110, 120, "b"), write(130, 140, "a")]);
    expect(found).toMatchObject([{ kind: "two-writers" }]);
    expect(found[0]?.message).toContain("after b had acknowledged");
  });

  it("are found when one acknowledges before it is recorded", () => {
    expect(findTwoWriters(reigns, [write(10, 20, "b")])).toMatchObject([{ kind: "two-writers" }]);
  });

  it("are found when one that was recorded again acknowledged before that", () => {
    expect(findTwoWriters(reigns, [write(110, 120, "b"), write(150, 160, "a"), write(170, 180, "b")])).toHaveLength(1);
  });

  it("are found when one was never recorded at all", () => {
    expect(findTwoWriters(reigns, [write(10, 20, "c")])).toHaveLength(1);
  });

  it("count only what was acknowledged", () => {
    const writes = [write(110, 120, "b"), write(130, 140, "a", "unknown"), write(130, 140, "a", "refused")];
    expect(findTwoWriters(reigns, writes)).toEqual([]);
  });

  it("are never found where each server acknowledges within its reign, and always where one goes on", () => {
    const times = fc.array(fc.tuple(fc.nat(99), fc.nat(300)), { minLength: 1, maxLength: 60 });
    const starts = [0, 100, 200];
    fc.assert(
      fc.property(times, (samples) => {
        // Answered within the reign, however long it was under way.
        const good = samples.map(([at, length], index) => {
          const start = starts[index % 3] as number;
          return write(start + at - length, start + at, (reigns[index % 3] as Reign).server);
        });
        expect(findTwoWriters(reigns, good)).toEqual([]);
        const witness = write(110, 111, "b");
        const late = write(112 + (samples[0] as [number, number])[0] / 2, 170, "a");
        expect(findTwoWriters(reigns, [...good, witness, late])).toHaveLength(1);
      }),
    );
  });
});

describe("the longest time without an acknowledged write", () => {
  it.each([
    [[], 0, 100, 100],
    [[10, 20, 90], 0, 100, 70],
    [[10, 20, 30], 0, 100, 70],
    [[60, 70], 50, 75, 10],
    [[1, 2, 60, 200], 50, 100, 40],
  ])("%j between %d and %d is %d", (times, from, to, expected) => {
    expect(longestGap(times, from, to)).toBe(expected);
  });
});
