import fc from "fast-check";

/** Few uuids, tags and numbers, so that sets meet each other. */
const uuids = [
  "3e11fa47-71ca-11e1-9e33-c80aa9429562",
  "0ddddddd-71ca-11e1-9e33-c80aa9429562",
  "ffffffff-0000-0000-0000-000000000001",
];
const tags = [undefined, "a", "_z", "tag_1"];
const numbers = fc.oneof(
  { weight: 9, arbitrary: fc.bigInt(1n, 30n) },
  { weight: 1, arbitrary: fc.bigInt(2n ** 63n - 32n, 2n ** 63n - 2n) },
);
const interval = fc
  .tuple(numbers, fc.bigInt(0n, 6n))
  .map(([first, more]) =>
    more === 0n ? `${first}` : `${first}-${first + more > 2n ** 63n - 2n ? first : first + more}`,
  );

const blank = fc.constantFrom("", "", "", " ", "\n");

/** Texts of GTID sets as people and servers write them: upper and lower case, line ends, repeated and overlapping parts. */
export const gtidTexts: fc.Arbitrary<string> = fc
  .array(
    fc.record({
      uuid: fc.constantFrom(...uuids),
      upper: fc.boolean(),
      parts: fc.array(
        fc.record({ tag: fc.constantFrom(...tags), intervals: fc.array(interval, { minLength: 1, maxLength: 4 }) }),
        {
          minLength: 1,
          maxLength: 3,
        },
      ),
      before: blank,
      after: blank,
    }),
    { maxLength: 5 },
  )
  .map((entries) =>
    entries
      .map(({ uuid, upper, parts, before, after }) => {
        // Untagged transactions can only come first.
        const ordered = [...parts.filter((p) => p.tag === undefined), ...parts.filter((p) => p.tag !== undefined)];
        const body = ordered.map(({ tag, intervals }) => [...(tag === undefined ? [] : [tag]), ...intervals].join(":"));
        return `${before}${upper ? uuid.toUpperCase() : uuid}:${body.join(":")}${after}`;
      })
      .join(","),
  );
