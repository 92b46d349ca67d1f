import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countGtids, gtidsOfOthers, subtractGtids } from "#actions/lib/gtid.ts";

const a = "aaaaaaaa-0000-0000-0000-000000000001";
const b = "bbbbbbbb-0000-0000-0000-000000000002";

describe("subtractGtids", () => {
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
    expect(subtractGtids(set, taken)).toBe(left);
  });

  it("agrees with sets of numbers", () => {
    const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { maxLength: 30 });
    const text = (of: Iterable<number>): string => [...of].map((n) => `${a}:${n}`).join(",");
    fc.assert(
      fc.property(numbers, numbers, (set, taken) => {
        const left = set.filter((n) => !taken.includes(n));
        expect(countGtids(subtractGtids(text(set), text(taken)))).toBe(BigInt(left.length));
        expect(subtractGtids(text(left), subtractGtids(text(set), text(taken)))).toBe("");
      }),
    );
  });

  it.each(["nonsense", `${a}:1-x`, `${a}:1-5,rubbish:3`])("refuses %s", (text) => {
    expect(() => subtractGtids(text, "")).toThrow("Not a GTID set");
  });
});

it("counts overlapping intervals once", () => {
  expect(countGtids(`${a}:1-10:5-12,${b}:3`)).toBe(13n);
});

it("leaves out what one server began, with and without tags", () => {
  expect(gtidsOfOthers(`${a}:1-5:web:1,${b}:1-2`, a.toUpperCase())).toBe(`${b}:1-2`);
});
