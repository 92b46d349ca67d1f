import type { SeenInstance } from "#actions/lib/aws/instances.ts";
import type { Clock } from "#actions/lib/clock.ts";
import { askPlan } from "#actions/lib/operation/ask-plan.ts";
import { howToAttach } from "#actions/lib/operation/attach.ts";
import { askOrder } from "#actions/lib/operation/cluster.ts";
import { follow, type Start } from "#actions/lib/operation/follow.ts";
import { decideById } from "#actions/lib/operation/identity.ts";
import { asFailure } from "#actions/lib/run.ts";
import type { NodeAnswer } from "#actions/lib/run-command.ts";
import type { DocumentOperation } from "#contract/documents.ts";
import { Failure } from "#contract/failure-reasons.ts";
import {
  type OperationKind,
  type OperationPlan,
  type OperationRecord,
  plannedContent,
  SwitchoverInput,
} from "#contract/operation.ts";
import { itemKey } from "#contract/table.ts";
import { tags } from "#contract/tags.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { planParameters, type SwitchoverRequest } from "./request.ts";

/** Where a switchover's facts come from, and how it is begun. */
export interface SwitchoverSources {
  /** The cluster's instances; at least one. */
  readonly instances: readonly SeenInstance[];
  /** The cluster whose tag an instance carries. */
  clusterOf(instanceId: string): Promise<string | undefined>;
  topology(): Promise<TopologyRecord | undefined>;
  operation(operationId: string): Promise<OperationRecord | undefined>;
  liveOperations(): Promise<readonly OperationRecord[]>;
  /** False when the condition did not hold; see `writeOperation`. It is not cut short by a cancelled run. */
  write(record: OperationRecord, replaces?: string): Promise<boolean>;
  /** Has a node run a document. The command is sent also when the run is cancelled at that moment. */
  ask(
    instanceId: string,
    document: DocumentOperation,
    parameters: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<NodeAnswer>;
}

/** What the flow needs besides. */
export interface FlowOptions {
  readonly clock: Clock;
  readonly wallClock: () => Date;
  readonly unique: () => string;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
  readonly operationId: string;
  readonly requestedBy: string;
  /** Called before the operation's record is written, or an operation that is under way is watched. */
  readonly watching: (operationId: string) => void;
}

/** What a run came to. */
export type Outcome =
  | {
      readonly is: "planned" | "nothing-to-do";
      readonly plan: OperationPlan;
      readonly topology: TopologyRecord | undefined;
    }
  | {
      readonly is: "refused";
      readonly plan: OperationPlan;
      readonly topology: TopologyRecord | undefined;
      readonly failure: Failure;
    }
  | {
      readonly is: "ended";
      readonly record: OperationRecord;
      /** It had ended before: nothing was done now. */
      readonly before: boolean;
      readonly topology: TopologyRecord | undefined;
    };

/** Kinds of operation that change the topology; there is one of them at a time. */
const topologyKinds: readonly OperationKind[] = ["switchover", "failover", "upgrade", "grow", "shrink"];

/** An operation is watched for so much longer than it may take up to its point of no return, milliseconds. */
const afterNoReturnMs = 300_000;
/** How often the decision is made anew because somebody else wrote the record meanwhile. */
const rounds = 3;

/**
 * Makes the plan, or applies it under the operation id.
 *
 * @throws Failure for what was asked for wrongly, and for what ended the watching; see `follow`.
 */
export async function switchOver(
  request: SwitchoverRequest,
  sources: SwitchoverSources,
  options: FlowOptions,
): Promise<Outcome> {
  await checkMembers(request, sources);
  if (request.mode === "plan") return judgePlan(request, await makePlan(request, sources, options), sources);
  for (let round = 1; ; round++) {
    const outcome = await apply(request, sources, options);
    if (outcome !== undefined) return outcome;
    if (round === rounds) throw idTaken(options.operationId, "other runs write its record at this moment");
  }
}

/** Refuses instances of other clusters. An expected primary that is gone is for the plan to refuse. */
async function checkMembers(
  { clusterId, input }: SwitchoverRequest,
  { instances, clusterOf }: SwitchoverSources,
): Promise<void> {
  const named = [
    ["target", input.target],
    ["expected-primary", input.expected_primary],
  ] as const;
  for (const [name, id] of named) {
    if (id === undefined || instances.some(({ instance_id }) => instance_id === id)) continue;
    const cluster = await clusterOf(id);
    if (name === "expected-primary" && cluster === clusterId) continue;
    const members = instances.map(({ instance_id }) => instance_id).join(", ");
    const why =
      cluster === undefined || cluster === clusterId
        ? `is no instance that is there with the tag ${tags.clusterId}=${clusterId}`
        : `carries the tag ${tags.clusterId}=${cluster}, not ${clusterId}`;
    throw new Failure("instance-not-in-cluster", {
      message: `Input "${name}": ${id} ${why}. The instances of ${clusterId} are ${members}.`,
    });
  }
}

async function makePlan(
  request: SwitchoverRequest,
  { instances, ask }: SwitchoverSources,
  { clock, signal, log }: FlowOptions,
): Promise<OperationPlan> {
  const { clusterId, input } = request;
  const plan = await askPlan({
    clusterId,
    kind: "switchover",
    nodes: askOrder(instances, input.target),
    ask: (instanceId, stop) => ask(instanceId, "switchover", planParameters(request), stop),
    clock,
    signal,
    log,
  });
  log(`${clusterId}: plan ${plan.hash}, ${plan.changes ? `${plan.steps.length} steps on ${plan.node}` : "no changes"}`);
  return plan;
}

/** What keeps a plan from being applied, the first of it. A plan that changes nothing is kept by nothing. */
export function refusalOf(
  plan: OperationPlan,
  { expected_plan_hash, expected_primary }: SwitchoverInput,
  topology: TopologyRecord | undefined,
): Failure | undefined {
  if (!plan.changes) return undefined;
  const [first, ...more] = plan.refusals;
  if (first !== undefined) {
    const others = more.length === 0 ? "" : ` Also: ${more.map(({ reason }) => reason).join(", ")}.`;
    return new Failure(first.reason, { message: `${first.message}${others}` });
  }
  if (expected_primary !== undefined && topology !== undefined && topology.instance_id !== expected_primary) {
    return new Failure("unexpected-primary", {
      message: `The primary is ${topology.instance_id}, not ${expected_primary}.`,
    });
  }
  if (expected_plan_hash !== undefined && plan.hash !== expected_plan_hash) {
    return new Failure("plan-changed", {
      message: `The plan made now has the hash ${plan.hash}; ${expected_plan_hash} was approved.`,
    });
  }
  return undefined;
}

async function judgePlan(
  request: SwitchoverRequest,
  plan: OperationPlan,
  { topology: readTopology }: SwitchoverSources,
): Promise<Exclude<Outcome, { is: "ended" }>> {
  const topology = await readTopology();
  const failure = refusalOf(plan, request.input, topology);
  if (failure !== undefined) return { is: "refused", plan, topology, failure };
  return { is: plan.changes ? "planned" : "nothing-to-do", plan, topology };
}

/** Undefined when somebody else used the id meanwhile, so that it has to be decided anew. */
async function apply(
  request: SwitchoverRequest,
  sources: SwitchoverSources,
  options: FlowOptions,
): Promise<Outcome | undefined> {
  const { operationId, log, signal } = options;
  const there = await sources.operation(operationId);
  const decision = decideById(there, { kind: "switchover", input: request.input, schema: SwitchoverInput });
  switch (decision.do) {
    case "refuse":
      throw idTaken(operationId, decision.because);
    case "answer":
      log(`${operationId}: it has succeeded before; nothing is done now`);
      return { is: "ended", record: decision.record, before: true, topology: await sources.topology() };
    case "attach":
      log(`${operationId}: it is under way; attaching to it`);
      options.watching(operationId);
      return watch(request, decision.record, decision.record.state === "created", sources, options);
  }
  const judged = await judgePlan(request, await makePlan(request, sources, options), sources);
  if (judged.is !== "planned") return judged;
  await refuseWhileAnother(request, sources, options);
  signal.throwIfAborted();
  const replaced = decision.do === "again" ? decision.record : undefined;
  const record = newRecord(request, judged.plan, replaced, options);
  options.watching(operationId);
  if (!(await written(record, replaced?.rvn, sources, request))) return undefined;
  return watch(request, record, true, sources, options);
}

/** Whether the record is there now; a store that did not answer leaves that open, which is said. */
async function written(
  record: OperationRecord,
  replaces: string | undefined,
  { write }: SwitchoverSources,
  { clusterId }: SwitchoverRequest,
): Promise<boolean> {
  try {
    return await write(record, replaces);
  } catch (error) {
    const { reason, message } = asFailure(error);
    throw new Failure(reason, {
      message,
      changed:
        "The cluster was not changed. The operation's record may have been written; no node was asked to begin it.",
      next: `Run it again with the same operation id. ${howToAttach({ clusterId, operationId: record.operation_id })}`,
      cause: error,
    });
  }
}

const idTaken = (operationId: string, because: string): Failure =>
  new Failure("operation-id-taken", { message: `The operation id ${operationId} cannot be used: ${because}.` });

async function refuseWhileAnother(
  { clusterId }: SwitchoverRequest,
  { liveOperations }: SwitchoverSources,
  { operationId }: FlowOptions,
): Promise<void> {
  const other = (await liveOperations()).find(
    (each) => each.operation_id !== operationId && topologyKinds.includes(each.kind),
  );
  if (other === undefined) return;
  throw new Failure("operation-in-progress", {
    message: `The ${other.kind} ${other.operation_id} has not ended: it is ${other.state}, was asked for by ${other.started_by} at ${other.created_at}${other.node === undefined ? "" : ` and runs on ${other.node}`}.`,
    next: `Wait for it to end. To watch it, use the action infrahouse/percona-actions/operation with cluster-id ${clusterId}, operation-id ${other.operation_id} and mode attach; mode abort ends it.`,
  });
}

const newRecord = (
  { clusterId, input }: SwitchoverRequest,
  plan: OperationPlan,
  replaced: OperationRecord | undefined,
  { operationId, requestedBy, wallClock, unique }: FlowOptions,
): OperationRecord => ({
  pk: itemKey.operation(clusterId, operationId),
  operation_id: operationId,
  cluster_id: clusterId,
  kind: "switchover",
  input,
  ...plannedContent(plan),
  started_by: requestedBy,
  created_at: wallClock().toISOString(),
  attempt: (replaced?.attempt ?? 0) + 1,
  rvn: unique(),
});

/** Has the node begin it where that may not have been done, and watches it to its end. */
async function watch(
  request: SwitchoverRequest,
  record: OperationRecord,
  begin: boolean,
  sources: SwitchoverSources,
  options: FlowOptions,
): Promise<Outcome> {
  const { clusterId, input } = request;
  const { operationId, clock, log, signal, requestedBy } = options;
  const start = begin ? beginning(record, sources, options) : undefined;
  const ended = await follow(
    {
      read: () => sources.operation(operationId),
      resume: (node) =>
        sources.ask(node, "operation", { Mode: "resume", OperationId: operationId, RequestedBy: requestedBy }, signal),
    },
    {
      clusterId,
      operationId,
      clock,
      signal,
      log,
      limitMs: input.timeout_seconds * 1000 + afterNoReturnMs,
      helpers: ({ node }) => askOrder(sources.instances).filter((id) => id !== node),
      ...(start && { start }),
      endUnbegun: (current, failure) => endUnbegun(current, failure, sources, options),
    },
  );
  return { is: "ended", record: ended, before: false, topology: await endTopology(sources, options) };
}

/** Asks the node to begin. The record tells what came of it when the answer is lost. */
function beginning(record: OperationRecord, { ask }: SwitchoverSources, { operationId, signal, log }: FlowOptions) {
  let start: Start | undefined;
  const node = record.node ?? "";
  const settle = (found: Start): void => {
    start = found;
    if (!found.begun) log(`${operationId}: ${node} did not say that it began: ${found.failure.message}`);
  };
  void ask(node, "switchover", { Mode: "apply", OperationId: operationId }, signal).then(
    (answer) => settle(answer.ok ? { begun: true } : { begun: false, failure: startFailure(node, answer) }),
    (error: unknown) => settle({ begun: false, failure: asFailure(error) }),
  );
  return () => start;
}

const startFailure = (node: string, answer: Extract<NodeAnswer, { ok: false }>): Failure =>
  answer.failure ??
  new Failure("node-unreachable", {
    message: `${node} was to run the switchover and did not begin it: ${answer.detail}.`,
  });

/** Ends the record of an operation that its node did not begin. A node that begins it late finds it ended. */
const endUnbegun = (
  record: OperationRecord,
  failure: Failure,
  { write }: SwitchoverSources,
  { unique, wallClock }: FlowOptions,
): Promise<boolean> =>
  write(
    {
      ...record,
      state: "undone",
      ended_at: wallClock().toISOString(),
      failure_reason: failure.reason,
      failure_message: `${failure.message} Nothing was changed. ${failure.next}`,
      rvn: unique(),
    },
    record.rvn,
  );

/** Who is primary at the end; only for the outputs. */
async function endTopology({ topology }: SwitchoverSources, { log }: FlowOptions): Promise<TopologyRecord | undefined> {
  try {
    return await topology();
  } catch (error) {
    log(`The topology record could not be read at the end: ${asFailure(error).message}`);
    return undefined;
  }
}
