import { randomUUID } from "node:crypto";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient, GetCommand, PutCommand } from "@aws-sdk/lib-dynamodb";
import * as v from "valibot";
import { isLive, OperationPlan, OperationRecord, plannedContent } from "#contract/operation.ts";
import { itemKey } from "#contract/table.ts";
import type { Lab } from "#lab/lab.ts";

/** What a switchover is asked for, in the words of the document's parameters. */
export interface Asked {
  readonly target?: string;
  readonly force?: boolean;
  readonly maxLagSeconds?: number;
  readonly maxTransactionAgeSeconds?: number;
  readonly expectedPrimary?: string;
  /** Variables of the process that runs the operation. */
  readonly env?: Readonly<Record<string, string>>;
}

const documents = (lab: Lab): DynamoDBDocumentClient =>
  DynamoDBDocumentClient.from(
    new DynamoDBClient({ endpoint: lab.cloud.endpoint, region: lab.cloud.region, credentials: lab.cloud.operator }),
    { marshallOptions: { removeUndefinedValues: true } },
  );

/** Runs the node's script as the SSM agent would. */
export const onNode = async (
  lab: Lab,
  name: string,
  command: string,
  environment: Readonly<Record<string, string>>,
  options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
): Promise<unknown> => {
  const { timeoutMs = 60_000, signal = AbortSignal.timeout(timeoutMs) } = options;
  const ended = await lab.machine(name).machine.run({
    script: [`"$PERCONA_ACTIONS_BIN/operation" ${command}`],
    environment,
    timeoutMs,
    signal,
  });
  if (ended.exitCode !== 0) throw new Error(`${command} on ${name}: ${ended.stdout} ${ended.stderr}`);
  return JSON.parse(ended.stdout);
};

const parameters = (asked: Asked): Record<string, string> => ({
  SSM_Mode: "plan",
  SSM_OperationId: "-",
  SSM_Target: asked.target ?? "-",
  SSM_ExpectedPrimary: asked.expectedPrimary ?? "-",
  SSM_MaxLagSeconds: String(asked.maxLagSeconds ?? 10),
  SSM_MaxTransactionAgeSeconds: String(asked.maxTransactionAgeSeconds ?? 60),
  SSM_TimeoutSeconds: "60",
  SSM_Force: asked.force ? "accept-loss" : "-",
});

/** The plan that a node makes. */
export const planOn = async (lab: Lab, name: string, asked: Asked = {}): Promise<OperationPlan> =>
  v.parse(OperationPlan, await onNode(lab, name, "switchover", parameters(asked)));

/** Records an operation as the action does. */
export const recordOperation = async (
  lab: Lab,
  plan: OperationPlan,
  asked: Asked,
  id = `test-${randomUUID().slice(0, 8)}`,
): Promise<string> => {
  const record: OperationRecord = {
    pk: itemKey.operation(lab.clusterId, id),
    operation_id: id,
    cluster_id: lab.clusterId,
    kind: "switchover",
    input: {
      ...(asked.target === undefined ? {} : { target: asked.target }),
      ...(asked.force ? { force: "accept-loss" } : {}),
      max_lag_seconds: asked.maxLagSeconds ?? 10,
      max_transaction_age_seconds: asked.maxTransactionAgeSeconds ?? 60,
      timeout_seconds: 60,
    },
    ...plannedContent(plan),
    started_by: "a test",
    created_at: new Date().toISOString(),
    attempt: 1,
    rvn: randomUUID(),
  };
  await documents(lab).send(new PutCommand({ TableName: lab.cluster.tableName, Item: record }));
  return id;
};

/** Reads an operation's record. */
export const readOperation = async (lab: Lab, id: string): Promise<OperationRecord> => {
  const key = { pk: itemKey.operation(lab.clusterId, id) };
  const { Item } = await documents(lab).send(
    new GetCommand({ TableName: lab.cluster.tableName, Key: key, ConsistentRead: true }),
  );
  return v.parse(OperationRecord, Item);
};

/** Name of the node with this instance id. */
export const nameOf = async (lab: Lab, instanceId: string): Promise<string> => {
  const node = (await lab.nodes()).find((each) => each.instanceId === instanceId);
  if (!node) throw new Error(`${instanceId} is not a node of the lab.`);
  return node.name;
};

/** Plans a switchover on a replica, records it and starts it on the candidate; answers its id. */
export const beginSwitchover = async (lab: Lab, planner: string, asked: Asked = {}, id?: string): Promise<string> => {
  const plan = await planOn(lab, planner, asked);
  if (plan.refusals.length > 0) throw new Error(`The plan is refused: ${JSON.stringify(plan.refusals)}`);
  const recorded = await recordOperation(lab, plan, asked, id);
  await onNode(lab, await nameOf(lab, plan.node), "switchover", {
    ...asked.env,
    SSM_Mode: "apply",
    SSM_OperationId: recorded,
  });
  return recorded;
};

/** Records and starts an ended operation once more under the same id, as running the action again does. */
export const runAgain = async (lab: Lab, id: string): Promise<void> => {
  const record = await readOperation(lab, id);
  const plan = v.parse(OperationPlan, JSON.parse(record.plan ?? "null"));
  const { result: _r, failure_reason: _f, failure_message: _m, ended_at: _e, expires_at: _x, ...rest } = record;
  const again: OperationRecord = {
    ...rest,
    ...plannedContent(plan),
    attempt: record.attempt + 1,
    rvn: randomUUID(),
  };
  await documents(lab).send(new PutCommand({ TableName: lab.cluster.tableName, Item: again }));
  await onNode(lab, await nameOf(lab, plan.node), "switchover", { SSM_Mode: "apply", SSM_OperationId: id });
};

/** Waits until an operation has ended. */
export const ended = async (lab: Lab, id: string, deadlineMs = 60_000): Promise<OperationRecord> => {
  let last: OperationRecord | undefined;
  await lab.waitUntil(
    `operation ${id} has ended`,
    async () => {
      last = await readOperation(lab, id);
      return !isLive(last) || { seen: last };
    },
    deadlineMs,
  );
  return last as OperationRecord;
};
