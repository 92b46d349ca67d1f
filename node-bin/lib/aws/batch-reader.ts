import { hashKey } from "#contract/table.ts";
import type { Aws } from "./clients.ts";
import { awsFailure } from "./failures.ts";
import type { Item } from "./table.ts";

/** Reads some items at once, each consistently, though not all at one moment. Errors: `permission-denied`, `store-unavailable`. */
export type BatchReader = (keys: readonly string[]) => Promise<ReadonlyMap<string, Item>>;

/** One call instead of one for each item: the agents look at the same few items all the time. */
export const makeBatchReader =
  (aws: Pick<Aws, "dynamodb">, table: string): BatchReader =>
  async (keys) => {
    const failure = (error: unknown) =>
      awsFailure(error, {
        action: "dynamodb:BatchGetItem",
        resource: `${keys.length} items of table ${table}`,
        unavailable: "store-unavailable",
      });
    const [client, { BatchGetCommand }] = await Promise.all([aws.dynamodb(), import("./sdk/dynamodb-documents.ts")]);
    const request = {
      RequestItems: { [table]: { Keys: keys.map((key) => ({ [hashKey]: key })), ConsistentRead: true } },
    };
    const answer = await client.send(new BatchGetCommand(request)).catch((error: unknown) => {
      throw failure(error);
    });
    // A throttled table answers a part; a part is no look.
    if (Object.keys(answer.UnprocessedKeys ?? {}).length > 0) throw failure(new Error("the table is throttled"));
    return new Map((answer.Responses?.[table] ?? []).map((item) => [String(item[hashKey]), item]));
  };
