import { accountNames } from "#contract/credentials.ts";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { allocatedServerIds } from "../coordination/server-ids.ts";
import { monotonicMs } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";
import { applyForwarding } from "./forwarding.ts";
import { observeMysql } from "./observe.ts";
import { isOpenPrimary, noteRecord } from "./state.ts";

/** How long an agent waits for another's election before it looks again, milliseconds. */
const electionPatienceMs = 10_000;

/** Takes the primary lease, whoever holds it: the record names this node. */
export const takeLease = async ({ log, primaryLease, state }: AgentContext): Promise<void> => {
  if (state.lease?.held()) return;
  const grant = await primaryLease.tryAcquire({ force: true });
  if (!grant) return;
  grant.startRenewing();
  state.lease?.forget();
  state.lease = grant;
  log.info(`holds the primary lease under its fence ${grant.fence}`);
};

/** A primary that accepts writes with fewer ackers than it should does not wait for any. */
const waitsForAckers = (record: TopologyRecord): boolean =>
  record.phase === "serving" && !(record.degraded && record.ackers.length < record.wait_count);

/** Ackers whose accounts this server locked in an earlier time as primary are let in. */
const admitAckers = async (context: AgentContext, record: TopologyRecord): Promise<void> => {
  const { config, mysql, table } = context;
  const locked = await mysql.lockedAccounts();
  if (locked.length === 0) return;
  const ids = await allocatedServerIds(table, config.cluster_id);
  for (const { instance_id } of record.ackers) {
    const serverId = ids[instance_id];
    const account = serverId === undefined ? undefined : accountNames.replication(serverId);
    if (account !== undefined && locked.includes(account)) await mysql.unlockAccount(account);
  }
};

/** What is left of a replica's life is taken away once clients write again, once for each time as primary. */
export const settle = async (context: AgentContext): Promise<void> => {
  const { log, mysqlForWrites, state } = context;
  const { record } = state;
  if (!record || !isOpenPrimary(context) || state.settledFence >= record.fence) return;
  await admitAckers(context, record);
  const { replication } = await mysqlForWrites.observe();
  if (replication?.receiver === "no" && replication.applier === "no") await mysqlForWrites.resetReplication();
  const events = await mysqlForWrites.enableEvents();
  if (events > 0) log.info(`switched ${events} events on again`);
  state.settledFence = record.fence;
};

/**
 * Makes the recorded primary, this node, accept writes. Opening comes last; `assertStill` is asked right before it.
 * The caller holds the turn.
 */
const openRecorded = async (context: AgentContext, record: TopologyRecord, assertStill: () => void): Promise<void> => {
  const { log, mysql, state } = context;
  // It says that the primary is alive, and the loop that keeps it takes it, too; nobody waits for it.
  void takeLease(context).catch((error: unknown) => log.warn(`primary lease: ${messageOf(error)}`));
  await mysql.stopReplication();
  // While forming there are no ackers yet, and nobody is served; the first ackers are listed with it on.
  if (waitsForAckers(record)) await mysql.setSourceSemiSync({ on: true, waitCount: record.wait_count });
  assertStill();
  await mysql.open();
  state.outageMs = state.noticedAt === undefined ? undefined : Math.round(monotonicMs() - state.noticedAt);
  state.openedFence = Math.max(state.openedFence, record.fence);
  state.heldBy = undefined;
  state.drainingUntil = Number.NEGATIVE_INFINITY;
  state.replicas.clear();
  state.locked = undefined;
  // It answers for itself from now on, before anybody is told to come.
  const { semi_sync } = state.mysql;
  state.mysql = {
    ...state.mysql,
    read_only: false,
    super_read_only: false,
    ...(semi_sync && { semi_sync: { ...semi_sync, source_enabled: waitsForAckers(record) } }),
  };
  void observeMysql(context);
  // The sessions that it cuts are not waited for.
  void applyForwarding(context).catch((error: unknown) => log.warn(`forwarder: ${String(error)}`));
  // Who was refused in an earlier time as primary is waited for now; the rest of what is to be tidied has time.
  void admitAckers(context, record).catch((error: unknown) => log.warn(`after opening: ${messageOf(error)}`));
};

/**
 * Opens this node under a record that another has written. The record is read again, so that a command that was held up for
 * long opens nothing. Errors: `superseded`.
 */
export const openByCommand = async (context: AgentContext, rvn: string, fence: number): Promise<void> => {
  const { highestFence, identity, log, state, topology } = context;
  const record = await topology.read();
  noteRecord(state, record);
  if (!record || record.rvn !== rvn || record.instance_id !== identity.instanceId || record.fence !== fence) {
    throw new Failure("superseded", {
      message: `The record names ${record?.instance_id ?? "nobody"} under fence ${record?.fence ?? 0}, not this node under ${fence}.`,
    });
  }
  await openRecorded(context, record, () => {
    if (highestFence.current() > fence) {
      throw new Failure("superseded", { message: `This node has seen fence ${highestFence.current()} meanwhile.` });
    }
  });
  log.info(`opened under fence ${fence}: ${record.reason}`);
};

/** Takes a new fence for the recorded primary, this node, and opens it when it is read-only. */
export const reopen = async (
  context: AgentContext,
  because: string,
  options: { readonly operationId?: string; readonly patienceMs?: number } = {},
): Promise<void> => {
  const { election, highestFence, identity, log, mysql, state, topology } = context;
  const grant = await election.acquire({
    deadlineMs: options.patienceMs ?? electionPatienceMs,
    signal: context.signal,
    fenceAbove: Math.max(state.record?.fence ?? 0, highestFence.current(), state.fenceSeenElsewhere),
  });
  grant.startRenewing();
  try {
    const record = await topology.read();
    const observed = await mysql.observe();
    if (record?.instance_id !== identity.instanceId || record.server_uuid !== observed.server_uuid) {
      noteRecord(state, record);
      log.warn("not opening: the record changed while this node waited for the election lock");
      return;
    }
    await highestFence.raise(grant.fence);
    const written = await topology.write(
      {
        ...record,
        private_ip: identity.privateIp,
        fence: grant.fence,
        reason: because,
        operation_id: options.operationId ?? record.operation_id,
      },
      { readRvn: record.rvn, needsHigherFence: true },
    );
    if (written.outcome === "superseded") {
      log.warn("not opening: the record was changed by another at the same moment");
      return;
    }
    noteRecord(state, written.record);
    if (observed.super_read_only || observed.read_only) {
      await openRecorded(context, written.record, grant.assertHeld);
      log.info(`opened under fence ${grant.fence}: ${because}`);
    } else {
      log.info(`took fence ${grant.fence}: ${because}`);
    }
  } finally {
    await grant.release("opening ended");
  }
};
