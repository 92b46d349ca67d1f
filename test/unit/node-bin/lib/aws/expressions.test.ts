import { expect, it } from "vitest";
import { type Condition, expression, holds } from "#node/lib/aws/expressions.ts";

it("every name and value is a placeholder, so that no attribute collides with a word of DynamoDB", () => {
  expect(
    expression({
      condition: {
        all: [{ equals: ["owner", "i-1"] }, { oneOf: ["rvn", ["a", "b"]] }],
      },
      change: {
        set: { owner: "i-2", purpose: undefined },
        increase: { fence: { by: 1, from: 0 } },
        remove: ["released"],
      },
    }),
  ).toEqual({
    ConditionExpression: "(#n0 = :v0 AND #n1 IN (:v1, :v2))",
    UpdateExpression: "SET #n0 = :v3, #n2 = if_not_exists(#n2, :v4) + :v5 REMOVE #n3",
    ExpressionAttributeNames: { "#n0": "owner", "#n1": "rvn", "#n2": "fence", "#n3": "released" },
    ExpressionAttributeValues: { ":v0": "i-1", ":v1": "a", ":v2": "b", ":v3": "i-2", ":v4": 0, ":v5": 1 },
  });
});

it("alternatives are kept apart from what surrounds them", () => {
  const { ConditionExpression } = expression({
    condition: { all: [{ any: [{ absent: "fence" }, { atMost: ["fence", 3] }] }, { below: ["n", 4] }] },
  });
  expect(ConditionExpression).toBe("((attribute_not_exists(#n0) OR #n0 <= :v0) AND #n1 < :v1)");
});

it("parts that are not there are left out: DynamoDB refuses empty ones", () => {
  expect(expression({})).toEqual({});
  expect(expression({ condition: { absent: "pk" } })).toEqual({
    ConditionExpression: "attribute_not_exists(#n0)",
    ExpressionAttributeNames: { "#n0": "pk" },
  });
});

const item = { pk: "a", owner: "i-1", fence: 3 };

it.each<[Condition, typeof item | undefined, boolean]>([
  [{ absent: "owner" }, item, false],
  [{ absent: "released" }, item, true],
  [{ absent: "pk" }, undefined, true],
  [{ equals: ["owner", "i-1"] }, item, true],
  [{ equals: ["owner", "i-1"] }, undefined, false],
  [{ equals: ["fence", "3" as unknown as number] }, item, false],
  [{ oneOf: ["owner", ["i-0", "i-1"]] }, item, true],
  [{ oneOf: ["owner", []] }, item, false],
  [{ below: ["fence", 4] }, item, true],
  [{ below: ["fence", 3] }, item, false],
  [{ below: ["fence", 3] }, undefined, false],
  [{ atMost: ["fence", 3] }, item, true],
  [{ atMost: ["owner", 3] }, item, false],
  [{ all: [{ absent: "x" }, { below: ["fence", 3] }] }, item, false],
  [{ any: [{ absent: "x" }, { below: ["fence", 3] }] }, item, true],
])("%j of %j is %s", (condition, of, verdict) => {
  expect(holds(condition, of)).toBe(verdict);
});
