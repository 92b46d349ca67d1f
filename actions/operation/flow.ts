import type { SeenInstance } from "#actions/lib/aws/instances.ts";
import type { Clock } from "#actions/lib/clock.ts";
import { askOrder } from "#actions/lib/operation/cluster.ts";
import { follow } from "#actions/lib/operation/follow.ts";
import type { NodeAnswer } from "#actions/lib/run-command.ts";
import { Failure } from "#contract/failure-reasons.ts";
import type { LeaseItem } from "#contract/lease.ts";
import { isLive, type OperationRecord } from "#contract/operation.ts";
import type { LockName } from "#contract/table.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { OperationRequest } from "./request.ts";

/** Where the facts come from, and what can be asked of nodes. */
export interface OperationSources {
  readonly instances: readonly SeenInstance[];
  operation(operationId: string): Promise<OperationRecord | undefined>;
  liveOperations(): Promise<readonly OperationRecord[]>;
  lock(name: LockName): Promise<LeaseItem | undefined>;
  topology(): Promise<TopologyRecord | undefined>;
  /** Has a node run the document `operation`. */
  ask(instanceId: string, mode: "abort" | "resume", operationId: string): Promise<NodeAnswer>;
}

/** What the flow needs besides. */
export interface FlowOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
  /** Called before an operation is watched. */
  readonly watching: (operationId: string) => void;
}

/** One lock and its holder. */
export interface SeenLock {
  readonly name: LockName;
  /** Undefined when it was never taken. */
  readonly item: LeaseItem | undefined;
  /** Whether its holder renewed it while it was looked at; undefined when that was not waited for. */
  readonly renewed?: boolean;
}

/** What the cluster's table says before anything is changed. */
export interface View {
  readonly clusterId: string;
  /** The operation that was asked for; without an id, those that have not ended. */
  readonly operations: readonly OperationRecord[];
  readonly locks: readonly SeenLock[];
  readonly topology: TopologyRecord | undefined;
}

const lockNames: readonly LockName[] = ["operation", "election", "backup", "binlog"];

/** Leases that end later are not waited for, milliseconds. */
const waitedForMs = 5000;

/**
 * The same locks, with whether those of short leases are renewed: a dead holder's lock looks as if it were held until somebody
 * else takes it.
 */
export async function watchLocks(
  locks: readonly SeenLock[],
  { lock }: Pick<OperationSources, "lock">,
  { clock, signal }: Pick<FlowOptions, "clock" | "signal">,
): Promise<SeenLock[]> {
  const isShort = ({ item }: SeenLock): boolean => item?.owner !== undefined && item.lease_ms <= waitedForMs;
  const leases = locks.filter(isShort).map(({ item }) => item?.lease_ms ?? 0);
  if (leases.length > 0) await clock.sleep(Math.max(...leases), signal);
  return Promise.all(
    locks.map(async (seen) => {
      if (!isShort(seen)) return seen;
      const item = await lock(seen.name);
      return { name: seen.name, item, renewed: item?.rvn !== seen.item?.rvn };
    }),
  );
}

/**
 * Reads what is known, before anything is changed.
 *
 * @throws Failure `unknown-operation` when there is no such operation, and those of the table.
 */
export async function look(
  { clusterId, operationId }: Pick<OperationRequest, "clusterId" | "operationId">,
  sources: OperationSources,
): Promise<View> {
  const [operations, locks, topology] = await Promise.all([
    operationId === undefined ? sources.liveOperations() : one(sources, clusterId, operationId),
    Promise.all(lockNames.map(async (name): Promise<SeenLock> => ({ name, item: await sources.lock(name) }))),
    sources.topology(),
  ]);
  return { clusterId, operations, locks, topology };
}

async function one(sources: OperationSources, clusterId: string, operationId: string): Promise<OperationRecord[]> {
  const record = await sources.operation(operationId);
  if (record !== undefined) return [record];
  const live = (await sources.liveOperations()).map((each) => `${each.operation_id} (${each.kind}, ${each.state})`);
  throw new Failure("unknown-operation", {
    message: `The cluster ${clusterId} has no operation ${operationId}. ${live.length === 0 ? "None is under way." : `Under way: ${live.join(", ")}.`}`,
  });
}

/**
 * Watches the operation to its end; with mode `abort` its end is asked for first. An operation that has ended is left alone.
 *
 * @throws Failure `node-unreachable` when no node took the wish, and those of `follow`.
 */
export async function attendTo(
  { clusterId, mode, timeoutMs }: OperationRequest,
  record: OperationRecord,
  sources: OperationSources,
  options: FlowOptions,
): Promise<OperationRecord> {
  const { log } = options;
  const operationId = record.operation_id;
  if (!isLive(record)) {
    log(`${operationId}: it has ended as ${record.state}; nothing is done`);
    return record;
  }
  if (mode === "abort") await askForEnd(record, sources, log);
  options.watching(operationId);
  return follow(
    {
      read: () => sources.operation(operationId),
      resume: (node) => sources.ask(node, "resume", operationId),
    },
    {
      clusterId,
      operationId,
      clock: options.clock,
      signal: options.signal,
      log,
      limitMs: timeoutMs,
      helpers: ({ node }) => askOrder(sources.instances).filter((id) => id !== node),
    },
  );
}

/** The node that runs it is asked first; any other can record the wish as well. */
async function askForEnd(
  record: OperationRecord,
  { instances, ask }: OperationSources,
  log: (line: string) => void,
): Promise<void> {
  const said: string[] = [];
  let refused: Failure | undefined;
  for (const node of askOrder(instances, record.node)) {
    log(`${record.operation_id}: ${node} is asked to end it`);
    const answer = await ask(node, "abort", record.operation_id);
    if (answer.ok) return;
    refused = answer.failure ?? refused;
    said.push(`${node}: ${answer.detail}.`);
    log(`${record.operation_id}: ${node} did not take the wish: ${answer.detail}`);
  }
  if (refused !== undefined) throw refused;
  throw new Failure("node-unreachable", {
    message: `No node took the wish that ${record.operation_id} ends. ${said.join(" ") || "None is running."}`,
    changed: `The operation ${record.operation_id} goes on.`,
  });
}
