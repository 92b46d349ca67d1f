import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { contains, count, isEmpty, isSame, normalise, ofOthers, parse, subtract, union } from "#contract/gtid.ts";
import { gtidTexts } from "./gtid-samples.ts";

const U = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const V = "ffffffff-0000-0000-0000-000000000001";

/** The naive model: one element for each transaction. */
const elements = (text: string): Set<string> => {
  const all = new Set<string>();
  for (const entry of text.toLowerCase().split(",")) {
    const [uuid = "", ...parts] = entry.trim().split(":");
    let tag = "";
    for (const part of parts) {
      if (/^[a-z_]/.test(part)) {
        tag = part;
        continue;
      }
      const [first = "", last = first] = part.split("-");
      for (let n = BigInt(first); n <= BigInt(last); n++) all.add(`${uuid}:${tag}:${n}`);
    }
  }
  return all;
};

const sorted = (set: ReadonlySet<string>): string[] => [...set].sort();

describe("arithmetic of GTID sets agrees with sets of single transactions", () => {
  it("union", () => {
    fc.assert(
      fc.property(gtidTexts, gtidTexts, (a, b) => {
        expect(sorted(elements(union(a, b)))).toEqual(sorted(elements(a).union(elements(b))));
      }),
    );
  });

  it("difference", () => {
    fc.assert(
      fc.property(gtidTexts, gtidTexts, (a, b) => {
        expect(sorted(elements(subtract(a, b)))).toEqual(sorted(elements(a).difference(elements(b))));
      }),
    );
  });

  it("containment, emptiness, count and sameness", () => {
    fc.assert(
      fc.property(gtidTexts, gtidTexts, (a, b) => {
        expect(contains(a, b)).toBe(elements(b).isSubsetOf(elements(a)));
        expect(contains(union(a, b), b)).toBe(true);
        expect(isEmpty(subtract(a, b))).toBe(contains(b, a));
        expect(count(a)).toBe(BigInt(elements(a).size));
        expect(isSame(a, b)).toBe(contains(a, b) && contains(b, a));
      }),
    );
  });

  it("there is one normal form, however a set was written or made", () => {
    fc.assert(
      fc.property(gtidTexts, gtidTexts, (a, b) => {
        const both = union(a, b);
        expect(normalise(both)).toBe(both);
        expect(union(b, a)).toBe(both);
        expect(union(subtract(a, b), union(b, a))).toBe(both);
        expect(both).not.toMatch(/\s/);
      }),
    );
  });
});

describe("a GTID set", () => {
  it("is written as MySQL writes it, on one line", () => {
    const text = `${V.toUpperCase()}:3-5:1:b:2:A:1:9:_z:3,\n${U}:2-3:1, ${U} : 4 - 6 : 9`;
    expect(normalise(text)).toBe(`${U}:1-6:9,${V}:1:3-5:_z:3:a:1:9:b:2`);
  });

  it("may be nothing", () => {
    for (const text of ["", " \n", ",", U, `${U}:5-3`]) expect(isEmpty(text)).toBe(true);
    expect(count("")).toBe(0n);
    expect(contains("", "")).toBe(true);
    expect(contains("", `${U}:1`)).toBe(false);
  });

  it("keeps numbers that JavaScript's own would round", () => {
    const near = `${U}:9007199254740993-9223372036854775806`;
    expect(subtract(near, `${U}:9007199254740994-9223372036854775805`)).toBe(
      `${U}:9007199254740993:9223372036854775806`,
    );
  });

  it("does not mix a tag's transactions with those of the server", () => {
    expect(contains(`${U}:1-10`, `${U}:a:5`)).toBe(false);
    expect(subtract(`${U}:1-3:a:1-3`, `${U}:a:2`)).toBe(`${U}:1-3:a:1:3`);
  });

  it.each([
    `${U}:0`,
    `${U}:1-9223372036854775807`,
    `${U}:1-2:`,
    `${U}::1`,
    `${U}:1a`,
    `${U}:1;${U}:2`,
    `${U}:-1`,
    `${U}:1 2`,
    `${U}:a1234567890123456789012345678901b:1`,
    "nonsense",
    "3e11fa47-71ca-11e1-9e33:1",
  ])("is not read from %s", (text) => {
    expect(() => parse(text)).toThrow(/is not a GTID set: /);
  });

  it("with many gaps is subtracted in a moment", () => {
    const every = (step: number, from: number): string =>
      `${U}:${Array.from({ length: 20_000 }, (_, i) => from + i * step).join(":")}`;
    const began = performance.now();
    expect(count(subtract(every(2, 1), every(4, 1)))).toBe(10_000n);
    expect(performance.now() - began).toBeLessThan(2000);
  });
});

const [a, b] = ["aaaaaaaa-0000-0000-0000-000000000001", "bbbbbbbb-0000-0000-0000-000000000002"];

describe("what is left of a set", () => {
  it.each([
    ["nothing from nothing", "", "", ""],
    ["all of it", `${a}:1-100`, `${a}:1-100`, ""],
    ["a newer end", `${a}:1-100`, `${a}:1-90`, `${a}:91-100`],
    ["a hole", `${a}:1-100`, `${a}:1-49:51-100`, `${a}:50`],
    ["another source", `${a}:1-100,${b}:1`, `${a}:1-200`, `${b}:1`],
    [
      "line breaks, spaces and capitals as MySQL prints them",
      `${a.toUpperCase()}:1-5:7,\n ${b}:1-2`,
      `${a}:1-7`,
      `${b}:1-2`,
    ],
    ["tags, which are sources of their own", `${a}:1-5:web:1-3`, `${a}:1-5`, `${a}:web:1-3`],
    ["the same tag", `${a}:1-5:web:1-3:7`, `${a}:1-5:web:1-2`, `${a}:web:3:7`],
    ["an interval that begins before and ends after", `${a}:5-10`, `${a}:1-20`, ""],
    [
      "the largest number that MySQL has",
      `${a}:1-9223372036854775806`,
      `${a}:1-9223372036854775805`,
      `${a}:9223372036854775806`,
    ],
  ])("takes away %s", (_, set, taken, left) => {
    expect(subtract(set, taken)).toBe(left);
  });
});

it("leaves out what one server began, with and without tags", () => {
  expect(ofOthers(`${a}:1-5:web:1,${b}:1-2`, a.toUpperCase())).toBe(`${b}:1-2`);
});
