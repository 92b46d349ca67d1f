import { operationOfPurpose } from "#contract/operation.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { LeaseView } from "../coordination/lease.ts";
import { monotonicMs } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";
import { noteRecord } from "./state.ts";

/**
 * Another is recorded than when this node was told to wait: the operation is past its point of no return, and waits in its turn for
 * this node to follow.
 */
const endHold = ({ identity, state }: AgentContext): void => {
  const { heldBy, record } = state;
  if (heldBy && record && record.fence > heldBy.fence && record.instance_id !== identity.instanceId) {
    state.heldBy = undefined;
  }
};

/** Takes over a record that its writer sent. The fence of its command, which is the same, was noted on disk before. */
export const adoptRecord = (context: AgentContext, record: TopologyRecord): void => {
  noteRecord(context.state, record);
  // What was seen of the lease was the one of the primary before.
  context.state.primaryLease = undefined;
  endHold(context);
};

/** Reads the topology record. */
export const watchRecord = async (context: AgentContext): Promise<void> => {
  const { highestFence, state, topology } = context;
  const record = await topology.read();
  noteRecord(state, record);
  endHold(context);
  if (record) await highestFence.raise(record.fence);
};

/** Looks at the primary lease, when another node is to hold it. */
export const watchLease = async (context: AgentContext): Promise<void> => {
  const { identity, primaryLease, state } = context;
  if (state.record?.instance_id === identity.instanceId) return;
  state.primaryLease = await primaryLease.observe();
};

/** How long an operation that has just made this node read-only is taken to be alive without being looked at, milliseconds. */
const trustMs = 1500;

/** How long a stale operation lock is left to the nodes before this one in their order, milliseconds each. */
const rankMs = 700;
/** How long an operation that was taken up here is not started again, milliseconds. */
const startAgainAfterMs = 15_000;

/** Takes up an operation whose runner died: the lock decides who does when several try. */
const takeUp = async (context: AgentContext, operationId: string): Promise<void> => {
  const { identity, log, state } = context;
  const now = monotonicMs();
  state.staleOperation =
    state.staleOperation?.id === operationId ? state.staleOperation : { id: operationId, since: now };
  const ids = [identity.instanceId, ...(state.peers ?? []).map((peer) => peer.instanceId)].sort();
  if (now - state.staleOperation.since < ids.indexOf(identity.instanceId) * rankMs) return;
  if (!state.mysql.up || state.bootstrap?.state !== "joined") return;
  if (now - state.tookUpAt < startAgainAfterMs) return;
  state.tookUpAt = now;
  log.warn(`operation ${operationId} has lost its runner; taking it up`);
  await context.startOperation(operationId);
};

/** Looks at the operation lock: whether the operation that holds this node read-only is alive, and whether one lost its runner. */
const noteOperation = async (context: AgentContext, lock: LeaseView): Promise<void> => {
  const { log, state } = context;
  const named = operationOfPurpose(lock.item?.purpose);
  if (lock.state === "stale" && named !== undefined) await takeUp(context, named);
  else state.staleOperation = undefined;
  const held = state.heldBy;
  if (!held) return;
  const live = lock.state === "held" && named === held.operationId;
  if (!live && monotonicMs() - held.since > trustMs && held.live) {
    held.live = false;
    log.warn(`operation ${held.operationId} does not hold its lock any more; this node goes on by itself`);
  }
};

/** Everything that every agent looks at all the time, in one call: the record, the primary's lease, the operation lock. */
export const watchStore = async (context: AgentContext): Promise<void> => {
  const { highestFence, identity, operationLock, primaryLease, readItems, state, topology } = context;
  const askedAt = monotonicMs();
  const items = await readItems([topology.key, primaryLease.key, operationLock.key]);
  // A change that was written meanwhile is newer than what was read.
  if (state.recordAt <= askedAt) {
    const record = topology.parse(items.get(topology.key));
    noteRecord(state, record);
    endHold(context);
    if (record) await highestFence.raise(record.fence);
  }
  if (state.record?.instance_id !== identity.instanceId) {
    state.primaryLease = primaryLease.look(items.get(primaryLease.key), askedAt);
  }
  await noteOperation(context, operationLock.look(items.get(operationLock.key), askedAt));
};
