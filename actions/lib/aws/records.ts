import {
  ConditionalCheckFailedException,
  GetItemCommand,
  PutItemCommand,
  paginateScan,
  ResourceNotFoundException,
} from "@aws-sdk/client-dynamodb";
import { marshall, unmarshall } from "@aws-sdk/util-dynamodb";
import * as v from "valibot";
import { Failure } from "#contract/failure-reasons.ts";
import { LeaseItem } from "#contract/lease.ts";
import { liveOperationStates, OperationRecord } from "#contract/operation.ts";
import { hashKey, itemKey, type LockName } from "#contract/table.ts";
import { TopologyRecord } from "#contract/topology.ts";
import { call, errorName } from "./call.ts";
import type { AwsClients } from "./clients.ts";

type Dynamo = Pick<AwsClients, "dynamodb">;

/** Where a cluster's items are. */
export interface ClusterTable {
  readonly clusterId: string;
  readonly table: string;
}

/**
 * The topology record; undefined when the table has none.
 *
 * @throws Failure `table-missing`, `record-malformed`, `permission-denied`, `store-unavailable`.
 */
export const topologyRecord = (clients: Dynamo, { clusterId, table }: ClusterTable, signal: AbortSignal) =>
  item(clients, table, itemKey.topology(clusterId), TopologyRecord, signal);

/** The lock that an operation holds; undefined when none was ever taken. Throws as `topologyRecord` does. */
export const operationLock = (clients: Dynamo, { clusterId, table }: ClusterTable, signal: AbortSignal) =>
  item(clients, table, itemKey.lock("operation", clusterId), LeaseItem, signal);

/** Any lock of the cluster; undefined when it was never taken. Throws as `topologyRecord` does. */
export const lockItem = (clients: Dynamo, { clusterId, table }: ClusterTable, name: LockName, signal: AbortSignal) =>
  item(clients, table, itemKey.lock(name, clusterId), LeaseItem, signal);

/** The record of one operation; undefined when there is none. Throws as `topologyRecord` does. */
export const operationRecord = (
  clients: Dynamo,
  { clusterId, table }: ClusterTable,
  operationId: string,
  signal: AbortSignal,
) => item(clients, table, itemKey.operation(clusterId, operationId), OperationRecord, signal);

/** Operations that have not ended. Throws as `topologyRecord` does. */
export async function liveOperations(
  { dynamodb }: Dynamo,
  { clusterId, table }: ClusterTable,
  signal: AbortSignal,
): Promise<OperationRecord[]> {
  const states = Object.fromEntries(liveOperationStates.map((state) => [`:${state}`, { S: state }]));
  const request = {
    TableName: table,
    ConsistentRead: true,
    FilterExpression: `begins_with(#key, :prefix) AND #state IN (${Object.keys(states).join(", ")})`,
    ExpressionAttributeNames: { "#key": hashKey, "#state": "state" },
    ExpressionAttributeValues: { ":prefix": { S: itemKey.operation(clusterId, "") }, ...states },
  };
  return call({ action: "dynamodb:Scan", on: table, signal }, async () => {
    const found: OperationRecord[] = [];
    try {
      for await (const page of paginateScan({ client: dynamodb }, request, { abortSignal: signal })) {
        for (const each of page.Items ?? []) found.push(parsed(OperationRecord, unmarshall(each), table));
      }
    } catch (error) {
      throw isMissing(error) ? tableMissing(table, error) : error;
    }
    return found;
  });
}

/**
 * Writes an operation's record: a new one when `replaces` is absent, otherwise in place of the one with that `rvn`. False when
 * something else is there. An answer that was lost is not a refusal: what is there then has this record's own `rvn`.
 *
 * @throws as `topologyRecord` does; after `store-unavailable` the write may have taken effect.
 */
export async function writeOperation(
  { dynamodb }: Dynamo,
  { table }: ClusterTable,
  record: OperationRecord,
  replaces: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const condition =
    replaces === undefined
      ? { ConditionExpression: "attribute_not_exists(#key)", ExpressionAttributeNames: { "#key": hashKey } }
      : {
          ConditionExpression: "#rvn = :rvn",
          ExpressionAttributeNames: { "#rvn": "rvn" },
          ExpressionAttributeValues: { ":rvn": { S: replaces } },
        };
  const request = new PutItemCommand({
    TableName: table,
    Item: marshall(record, { removeUndefinedValues: true }),
    ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    ...condition,
  });
  return call({ action: "dynamodb:PutItem", on: `${table}, item ${record.pk}`, signal }, async () => {
    try {
      await dynamodb.send(request, { abortSignal: signal });
      return true;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) {
        const there = error.Item ?? (await dynamodb.send(getItem(table, record.pk), { abortSignal: signal })).Item;
        return there?.rvn?.S === record.rvn;
      }
      throw isMissing(error) ? tableMissing(table, error) : error;
    }
  });
}

async function item<S extends v.GenericSchema<unknown, unknown>>(
  { dynamodb }: Dynamo,
  table: string,
  key: string,
  schema: S,
  signal: AbortSignal,
): Promise<v.InferOutput<S> | undefined> {
  const request = getItem(table, key);
  const answer = await call({ action: "dynamodb:GetItem", on: `${table}, item ${key}`, signal }, async () => {
    try {
      return await dynamodb.send(request, { abortSignal: signal });
    } catch (error) {
      throw isMissing(error) ? tableMissing(table, error) : error;
    }
  });
  return answer.Item === undefined ? undefined : parsed(schema, unmarshall(answer.Item), table);
}

const getItem = (table: string, key: string): GetItemCommand =>
  new GetItemCommand({ TableName: table, Key: { [hashKey]: { S: key } }, ConsistentRead: true });

const isMissing = (error: unknown): boolean =>
  error instanceof ResourceNotFoundException || errorName(error) === "ResourceNotFoundException";

const tableMissing = (table: string, cause: unknown): Failure =>
  new Failure("table-missing", { message: `There is no table ${table} in this account and region.`, cause });

function parsed<S extends v.GenericSchema<unknown, unknown>>(
  schema: S,
  value: Record<string, unknown>,
  table: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const wrong = result.issues.map((issue) => `${v.getDotPath(issue) ?? "item"}: ${issue.message}`);
  throw new Failure("record-malformed", {
    message: `Item ${String(value[hashKey])} of ${table} is not what this version expects: ${wrong.join("; ")}.`,
  });
}
