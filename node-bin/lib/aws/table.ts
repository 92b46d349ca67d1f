import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { Failure } from "#contract/failure-reasons.ts";
import { hashKey } from "#contract/table.ts";
import type { Aws } from "./clients.ts";
import { type Change, type Condition, expression, holds } from "./expressions.ts";
import { awsErrorName, awsFailure } from "./failures.ts";

export type { Change, Condition } from "./expressions.ts";

/** An item of the coordination table; `pk` is its key. */
export type Item = Readonly<Record<string, unknown>>;

/** How a write ended. A condition that did not hold is an answer, not an error. */
export type WriteResult =
  | { readonly written: true; readonly item: Item }
  /** `current` is what is there instead; absent when there is no item. */
  | { readonly written: false; readonly current: Item | undefined };

/** Under which condition a write happens. */
export interface WriteOptions {
  readonly condition?: Condition;
  /**
   * Recognises what this very write leaves behind, by a random value in it. A reply may be lost after the write took effect,
   * and the SDK then sends it once more and meets its own work: with `own` that is reported as written, unless
   * another write has replaced it since. Without it, a condition that failed may have been failed by this write itself.
   */
  readonly own?: (item: Item) => boolean;
}

/**
 * One DynamoDB table; every read is a consistent read. Errors of all methods: `table-missing`, `permission-denied`,
 * `store-unavailable` (no answer or throttled, after one retry; a write may then have taken effect, or still take effect
 * later while its condition holds).
 */
export interface Table {
  readonly name: string;
  get(pk: string): Promise<Item | undefined>;
  /** Replaces or creates the whole item. Attributes that are `undefined` are left out. */
  put(item: Item, options?: WriteOptions): Promise<WriteResult>;
  /** Changes some attributes, creating the item when it is missing. */
  update(pk: string, change: Change, options?: WriteOptions): Promise<WriteResult>;
}

/** The table of that name. */
export const makeTable = (aws: Pick<Aws, "dynamodb">, name: string): Table => {
  const failure = (error: unknown, action: string, pk: string): Failure => {
    if (awsErrorName(error) === "ResourceNotFoundException") {
      return new Failure("table-missing", {
        message: `The DynamoDB table ${name} does not exist (dynamodb:${action}).`,
        cause: error,
      });
    }
    return awsFailure(error, {
      action: `dynamodb:${action}`,
      resource: `item ${pk} of table ${name}`,
      unavailable: "store-unavailable",
    });
  };

  const get = async (pk: string): Promise<Item | undefined> => {
    try {
      const [client, { GetCommand }] = await Promise.all([aws.dynamodb(), import("./sdk/dynamodb-documents.ts")]);
      const answer = await client.send(
        new GetCommand({ TableName: name, Key: { [hashKey]: pk }, ConsistentRead: true }),
      );
      return answer.Item;
    } catch (error) {
      throw failure(error, "GetItem", pk);
    }
  };

  /** Sends a write and decides what became of it. */
  const settle = async (
    action: "PutItem" | "UpdateItem",
    pk: string,
    { condition, own }: WriteOptions,
    send: () => Promise<Item>,
  ): Promise<WriteResult> => {
    try {
      return { written: true, item: await send() };
    } catch (error) {
      if (awsErrorName(error) === "ConditionalCheckFailedException") {
        const current = await itemOfRefusal(error, pk);
        return current !== undefined && own?.(current) ? { written: true, item: current } : { written: false, current };
      }
      const failed = failure(error, action, pk);
      if (failed.reason !== "store-unavailable" || own === undefined) throw failed;
      const read = await get(pk).then(
        (current) => ({ current }),
        () => undefined,
      );
      if (read?.current !== undefined && own(read.current)) return { written: true, item: read.current };
      // Its condition cannot come true again by itself, so that this is what the store would have answered.
      if (read && condition && !holds(condition, read.current)) return { written: false, current: read.current };
      throw new Failure(failed.reason, {
        message: failed.message,
        changed: "It is unknown whether the write took effect.",
        cause: error,
      });
    }
  };

  /** The item that made a condition fail comes with the refusal; a store that leaves it out is asked. */
  const itemOfRefusal = async (error: unknown, pk: string): Promise<Item | undefined> => {
    const raw = (error as { readonly Item?: Record<string, AttributeValue> }).Item;
    if (raw === undefined) return get(pk);
    const { unmarshall } = await import("@aws-sdk/util-dynamodb");
    return unmarshall(raw);
  };

  return {
    name,
    get,
    put: (item, options = {}) =>
      settle("PutItem", String(item[hashKey]), options, async () => {
        const [client, { PutCommand }] = await Promise.all([aws.dynamodb(), import("./sdk/dynamodb-documents.ts")]);
        await client.send(
          new PutCommand({
            TableName: name,
            Item: item,
            ...expression({ condition: options.condition }),
            ...(options.condition ? { ReturnValuesOnConditionCheckFailure: "ALL_OLD" } : {}),
          }),
        );
        return item;
      }),
    update: (pk, change, options = {}) =>
      settle("UpdateItem", pk, options, async () => {
        const [client, { UpdateCommand }] = await Promise.all([aws.dynamodb(), import("./sdk/dynamodb-documents.ts")]);
        const answer = await client.send(
          new UpdateCommand({
            TableName: name,
            Key: { [hashKey]: pk },
            ...expression({ condition: options.condition, change }),
            ReturnValues: "ALL_NEW",
            ...(options.condition ? { ReturnValuesOnConditionCheckFailure: "ALL_OLD" } : {}),
          }),
        );
        return answer.Attributes ?? {};
      }),
  };
};
