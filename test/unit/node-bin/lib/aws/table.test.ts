import type { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";
import { describe, expect, it } from "vitest";
import { makeTable, type Table } from "#node/lib/aws/table.ts";
import { fakeClient, type SentCall, sdkError } from "./fake-client.ts";

const tableOf = (answer: (call: SentCall) => unknown): { readonly table: Table; readonly calls: SentCall[] } => {
  const { calls, as } = fakeClient<DynamoDBDocumentClient>(answer);
  return { table: makeTable({ dynamodb: as }, "percona-x-locks"), calls };
};

const throwing = (error: Error) => (): never => {
  throw error;
};

const refusal = (item: object | undefined) =>
  sdkError("ConditionalCheckFailedException", "The conditional request failed", item ? { Item: item } : {});

describe("reading", () => {
  it("is always consistent", async () => {
    const { table, calls } = tableOf(() => ({ Item: { pk: "a", fence: 3 } }));
    expect(await table.get("a")).toEqual({ pk: "a", fence: 3 });
    expect(calls[0]?.input).toMatchObject({ TableName: "percona-x-locks", Key: { pk: "a" }, ConsistentRead: true });
  });
});

describe("errors", () => {
  it.each([
    [sdkError("ResourceNotFoundException"), "table-missing"],
    [sdkError("AccessDeniedException", "User: arn:… is not authorized"), "permission-denied"],
    [sdkError("UnrecognizedClientException"), "permission-denied"],
    [sdkError("CredentialsProviderError", "Could not load credentials from any providers"), "permission-denied"],
    [sdkError("ProvisionedThroughputExceededException"), "store-unavailable"],
    [sdkError("ThrottlingException"), "store-unavailable"],
    [sdkError("RequestLimitExceeded"), "store-unavailable"],
    [sdkError("InternalServerError"), "store-unavailable"],
    [sdkError("TimeoutError", "Connection timed out after 500 ms"), "store-unavailable"],
    [sdkError("Error", "connect ECONNREFUSED", { code: "ECONNREFUSED" }), "store-unavailable"],
    [sdkError("Error", "socket hang up", { code: "ECONNRESET" }), "store-unavailable"],
    [sdkError("UnknownError", "bad gateway", { $metadata: { httpStatusCode: 502 } }), "store-unavailable"],
    [sdkError("ValidationException", "Invalid UpdateExpression"), "internal"],
  ])("%s is %s, for reads and writes", async (error, reason) => {
    const { table } = tableOf(throwing(error));
    await expect(table.get("a")).rejects.toMatchObject({ reason });
    await expect(table.put({ pk: "a" })).rejects.toMatchObject({ reason });
    await expect(table.update("a", { set: { x: 1 } })).rejects.toMatchObject({ reason });
  });

  it("say what was asked for, of what, and what AWS said", async () => {
    const { table } = tableOf(throwing(sdkError("AccessDeniedException", "User is not authorized")));
    await expect(table.update("lock-x", { set: { x: 1 } })).rejects.toMatchObject({
      message:
        "dynamodb:UpdateItem on item lock-x of table percona-x-locks failed: AccessDeniedException: User is not authorized.",
      next: expect.stringContaining("Allow dynamodb:UpdateItem"),
    });
  });
});

describe("a condition that does not hold", () => {
  it("is an answer, with the item that is there", async () => {
    const { table } = tableOf(throwing(refusal({ pk: { S: "a" }, fence: { N: "7" } })));
    expect(await table.put({ pk: "a" }, { condition: { absent: "pk" } })).toEqual({
      written: false,
      current: { pk: "a", fence: 7 },
    });
  });

  it("asks for the item when the store did not send it along", async () => {
    const { table } = tableOf(({ name }) => {
      if (name === "Get") return { Item: { pk: "a", fence: 7 } };
      throw refusal(undefined);
    });
    expect(await table.put({ pk: "a" }, { condition: { absent: "pk" } })).toMatchObject({ current: { fence: 7 } });
  });

  it("was made so by this very write when the SDK sent it twice: that counts as written", async () => {
    const { table } = tableOf(throwing(refusal({ pk: { S: "a" }, rvn: { S: "mine" } })));
    const result = await table.put(
      { pk: "a", rvn: "mine" },
      { condition: { absent: "pk" }, own: ({ rvn }) => rvn === "mine" },
    );
    expect(result).toEqual({ written: true, item: { pk: "a", rvn: "mine" } });
  });
});

describe("a write without an answer", () => {
  const own = ({ rvn }: Readonly<Record<string, unknown>>): boolean => rvn === "mine";
  const timeout = sdkError("TimeoutError");

  it("took effect when a read finds what it left behind", async () => {
    const { table } = tableOf(({ name }) => {
      if (name === "Get") return { Item: { pk: "a", rvn: "mine", fence: 4 } };
      throw timeout;
    });
    expect(await table.update("a", { set: { rvn: "mine" } }, { own })).toMatchObject({
      written: true,
      item: { fence: 4 },
    });
  });

  it("was refused when a read finds that its condition does not hold any more", async () => {
    const { table } = tableOf(({ name }) => {
      if (name === "Get") return { Item: { pk: "a", rvn: "another" } };
      throw timeout;
    });
    const result = await table.update("a", { set: { rvn: "mine" } }, { condition: { equals: ["rvn", "read"] }, own });
    expect(result).toEqual({ written: false, current: { pk: "a", rvn: "another" } });
  });

  it("is of unknown fate when a read finds what was there before, or when the read fails too", async () => {
    const unchanged = tableOf(({ name }) => {
      if (name === "Get") return { Item: { pk: "a", rvn: "read" } };
      throw timeout;
    });
    const silent = tableOf(throwing(timeout));
    for (const { table } of [unchanged, silent]) {
      const condition = { equals: ["rvn", "read"] } as const;
      await expect(table.update("a", { set: { rvn: "mine" } }, { condition, own })).rejects.toMatchObject({
        reason: "store-unavailable",
        changed: "It is unknown whether the write took effect.",
      });
    }
  });

  it("is not looked for after a refusal of the store", async () => {
    const { table, calls } = tableOf(throwing(sdkError("AccessDeniedException")));
    await expect(table.update("a", { set: { rvn: "mine" } }, { own })).rejects.toMatchObject({
      reason: "permission-denied",
    });
    expect(calls.map(({ name }) => name)).toEqual(["Update"]);
  });
});
