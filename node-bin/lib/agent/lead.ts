import type { NodeStatus } from "#contract/agent-api.ts";
import { accountNames } from "#contract/credentials.ts";
import { Failure } from "#contract/failure-reasons.ts";
import * as gtid from "#contract/gtid.ts";
import { type TopologyRecord, waitCountFor } from "#contract/topology.ts";
import { type AckerDecision, decideAckers, enoughHold, type ReplicaView } from "../cluster/ackers.ts";
import { allocatedServerIds } from "../coordination/server-ids.ts";
import { monotonicMs, pause } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";
import { reopen } from "./open.ts";
import { noteRecord, type ReplicaMemory } from "./state.ts";

/** An acker that is silent or cut off for longer than this is taken off the list, milliseconds. */
const patienceMs = 8000;

/** How long one agent may hold up a look at all of them, milliseconds: one that is gone must not keep the others from being listed. */
const answerMs = 500;

/** How long the others may take to receive what was written before one was taken off the list, milliseconds. */
const othersPatienceMs = 2000;

interface Round {
  readonly record: TopologyRecord;
  readonly replicas: readonly ReplicaView[];
}

const viewOf = (
  instanceId: string,
  status: NodeStatus | undefined,
  memory: ReplicaMemory,
  serverUuid: string,
  now: number,
): ReplicaView => {
  const mysql = status?.mysql;
  const replication = mysql?.up ? mysql.replication : undefined;
  const receiving = replication?.receiver === "yes" && replication.source_uuid === serverUuid;
  if (status) memory.answeredAt = now;
  if (receiving) memory.receivedAt = now;
  return {
    instanceId,
    reachable: status !== undefined,
    exists: true,
    silentMs: now - memory.answeredAt,
    notReceivingMs: now - memory.receivedAt,
    incarnation: mysql?.incarnation,
    goal: memory.goal?.incarnation === mysql?.incarnation ? memory.goal?.log : undefined,
    receiving,
    applying: replication?.applier === "yes",
    receivedSet: replication?.received_gtid_set ?? "",
    executedSet: mysql?.gtid_executed ?? "",
    readPosition: replication?.read_position,
    acknowledging: mysql?.up === true && mysql.semi_sync?.replica_enabled === true,
  };
};

/** Asks every replica. */
const look = async (context: AgentContext, record: TopologyRecord): Promise<Round> => {
  const { agents, state } = context;
  let highest = 0;
  const replicas = await Promise.all(
    (state.peers ?? []).map(async (peer) => {
      const now = monotonicMs();
      const memory = state.replicas.get(peer.instanceId) ?? { goal: undefined, answeredAt: now, receivedAt: now };
      state.replicas.set(peer.instanceId, memory);
      const status = await agents.status(peer.privateIp, { timeoutMs: answerMs }).catch(() => undefined);
      highest = Math.max(highest, status?.highest_fence ?? 0);
      return viewOf(peer.instanceId, status, memory, record.server_uuid, monotonicMs());
    }),
  );
  state.fenceSeenElsewhere = highest;
  return { record, replicas };
};

/** Reads the own log for the incarnations that were seen for the first time in this round; they are to reach it. */
const setGoals = async (context: AgentContext, round: Round): Promise<void> => {
  const { mysql, state } = context;
  const fresh = round.replicas.filter((replica) => replica.incarnation !== undefined && replica.goal === undefined);
  if (fresh.length === 0) return;
  const log = await mysql.logEnd();
  for (const { instanceId, incarnation } of fresh) {
    const memory = state.replicas.get(instanceId);
    if (memory && incarnation !== undefined) memory.goal = { incarnation, log };
  }
};

const rewrite = async (
  context: AgentContext,
  record: TopologyRecord,
  change: { readonly [K in "ackers" | "phase" | "degraded" | "wait_count"]?: TopologyRecord[K] | undefined },
  why: string,
): Promise<boolean> => {
  const { identity, log, state, topology } = context;
  const written = await topology.amend(record, { ...change, reason: why }, { needsHigherFence: false });
  const now = written.outcome === "written" ? written.record : written.current;
  if (now) noteRecord(state, now);
  if (written.outcome === "superseded" && now?.instance_id !== identity.instanceId) {
    log.warn(`${now?.instance_id ?? "nobody"} is recorded as primary now`);
  }
  return written.outcome === "written";
};

/** Tells a replica's agent that the record has changed, so that it need not wait for its next look. */
const nudge = async (context: AgentContext, instanceId: string): Promise<void> => {
  const peer = context.state.peers?.find((p) => p.instanceId === instanceId);
  const fence = context.state.record?.fence ?? 0;
  if (peer) await context.agents.command(peer.privateIp, "nudge", fence, {}).catch(() => {});
};

const replicationAccountOf = async (context: AgentContext, instanceId: string): Promise<string | undefined> => {
  const ids = await allocatedServerIds(context.table, context.config.cluster_id);
  const serverId = ids[instanceId];
  return serverId === undefined ? undefined : accountNames.replication(serverId);
};

const unlist = async (
  context: AgentContext,
  round: Round,
  decision: Extract<AckerDecision, { step: "unlist" }>,
): Promise<void> => {
  const { agents, log, mysql, state } = context;
  const { record } = round;
  if (decision.how === "ask") {
    const peer = state.peers?.find((p) => p.instanceId === decision.instanceId);
    if (!peer) return;
    await agents.command(peer.privateIp, "acknowledge", record.fence, { rvn: record.rvn });
  } else {
    const account = await replicationAccountOf(context, decision.instanceId);
    if (account !== undefined) {
      state.locked = undefined;
      await mysql.lockAccount(account);
      await mysql.killDumpThreadsOf(account);
    }
  }
  // From here on it cannot acknowledge; what it acknowledged before must lie with enough of the others.
  const end = await mysql.logEnd();
  const until = monotonicMs() + othersPatienceMs;
  let { replicas } = round;
  while (!enoughHold(decision.ackers, record.wait_count, end, replicas, gtid)) {
    if (monotonicMs() > until) {
      log.info(`${decision.instanceId} stays listed until ${record.wait_count} of the others hold everything`);
      return;
    }
    await pause(100, context.signal);
    ({ replicas } = await look(context, record));
  }
  const why = `${decision.instanceId} is no longer an acker: ${decision.because}`;
  if (await rewrite(context, record, { ackers: [...decision.ackers] }, why)) log.warn(why);
};

const perform = async (context: AgentContext, round: Round, decision: AckerDecision): Promise<void> => {
  const { log, mysql, state } = context;
  const { record } = round;
  switch (decision.step) {
    case "none":
      return;
    case "semi-sync-on":
      log.info("switching semi-sync on: enough replicas hold everything");
      await mysql.setSourceSemiSync({ on: true, waitCount: record.wait_count });
      // What was committed before did not wait for anybody, so the first ackers have to hold it too.
      state.replicas.clear();
      return;
    case "list":
      if (
        await rewrite(
          context,
          record,
          { ackers: [...decision.ackers] },
          `${decision.acker.instance_id} became an acker`,
        )
      ) {
        log.info(`${decision.acker.instance_id} became an acker`);
        await nudge(context, decision.acker.instance_id);
      }
      return;
    case "unlist":
      return unlist(context, round, decision);
    case "admit": {
      const account = await replicationAccountOf(context, decision.instanceId);
      if (account === undefined) return;
      log.info(`${decision.instanceId} may replicate again: it does not acknowledge`);
      state.locked = undefined;
      return mysql.unlockAccount(account);
    }
  }
};

/** A forming cluster serves once its first backup is durable and enough recorded ackers are connected. */
const beginServing = async (context: AgentContext): Promise<void> => {
  const { catalog, log, mysql, state } = context;
  const record = state.record;
  if (record?.phase !== "forming" || record.ackers.length < record.wait_count) return;
  const observed = await mysql.observe();
  if (!observed.semi_sync?.source_enabled || observed.semi_sync.clients < record.wait_count) return;
  const backup = await catalog.newestFull({ formation: record.formation });
  if (!backup) return;
  if (
    await rewrite(
      context,
      record,
      { phase: "serving" },
      `the backup of ${backup.time} is durable and ${observed.semi_sync.clients} ackers are connected`,
    )
  ) {
    log.info(
      `the cluster serves: the backup of ${backup.time} is durable and ${observed.semi_sync.clients} ackers are connected`,
    );
  }
};

/** How long what is known about locked accounts counts, milliseconds; only this agent locks and unlocks them. */
const lockedForMs = 10_000;

const refusedInstances = async (context: AgentContext): Promise<string[]> => {
  const { mysql, state } = context;
  if (!state.locked || monotonicMs() - state.locked.at > lockedForMs) {
    state.locked = { accounts: await mysql.lockedAccounts(), at: monotonicMs() };
  }
  const locked = new Set(state.locked.accounts);
  if (locked.size === 0) return [];
  const ids = await allocatedServerIds(context.table, context.config.cluster_id);
  return Object.entries(ids)
    .filter(([, serverId]) => locked.has(accountNames.replication(serverId)))
    .map(([instanceId]) => instanceId);
};

/** How long too few ackers may be connected before a primary that may go on without them does, milliseconds. */
const goOnAloneAfterMs = 10_000;

/**
 * With `write_without_ackers = allow` a primary that has had too few ackers for a while is recorded as degraded, without any
 * acker, so that nobody is promoted automatically; then its commits wait for nobody.
 */
const goOnAlone = async (context: AgentContext, round: Round): Promise<boolean> => {
  const { config, log, mysql, state } = context;
  const { record } = round;
  const semiSync = state.mysql.semi_sync;
  const enough = (semiSync?.clients ?? 0) >= record.wait_count;
  if (enough || record.phase !== "serving" || record.degraded || !semiSync?.source_enabled) {
    state.fewAckersSince = undefined;
    return false;
  }
  state.fewAckersSince ??= monotonicMs();
  if (config.write_without_ackers !== "allow") return false;
  if (monotonicMs() - state.fewAckersSince < goOnAloneAfterMs) return false;
  const why = `${semiSync.clients} of ${record.wait_count} ackers are connected, and write_without_ackers allows it`;
  const degraded = { since: new Date().toISOString(), by: "write_without_ackers" };
  if (!(await rewrite(context, record, { ackers: [], degraded }, why))) return false;
  log.warn(`commits wait for nobody from now on: ${why}`);
  await mysql.setSourceSemiSync({ on: false, acceptLoss: true });
  return true;
};

/**
 * The cluster was configured larger or smaller. More acknowledgements: commits wait for them first, then enough ackers hold all that is
 * committed, then it is recorded. Fewer: recorded first. Answers whether something was changed.
 */
const adjustWaitCount = async (context: AgentContext, { record, replicas }: Round): Promise<boolean> => {
  const { config, log, mysql, state } = context;
  const semiSync = state.mysql.semi_sync;
  if (record.phase !== "serving" || record.degraded || !semiSync?.source_enabled) return false;
  const wanted = waitCountFor(config.instance_count);
  const setOnServer = (waitCount: number): Promise<void> => mysql.setSourceSemiSync({ on: true, waitCount });
  if (wanted > record.wait_count) {
    // Commits would wait for somebody who is not there.
    if (record.ackers.length < wanted) return false;
    if (semiSync.wait_count !== wanted) await setOnServer(wanted);
    if (!enoughHold(record.ackers, wanted, await mysql.logEnd(), replicas, gtid)) return true;
    if (await rewrite(context, record, { wait_count: wanted }, `${wanted} acknowledgements from now on`)) {
      log.info(`commits wait for ${wanted} acknowledgements from now on`);
    }
    return true;
  }
  if (wanted < record.wait_count) {
    if (!(await rewrite(context, record, { wait_count: wanted }, `${wanted} acknowledgements from now on`)))
      return true;
    log.info(`commits wait for ${wanted} acknowledgements from now on`);
  }
  if (semiSync.wait_count === wanted) return false;
  await setOnServer(wanted);
  return true;
};

/** Enough ackers are listed again: what is acknowledged from now on outlives this node. */
const endDegraded = async (context: AgentContext): Promise<void> => {
  const { log, state } = context;
  const record = state.record;
  if (!record?.degraded || record.ackers.length < record.wait_count) return;
  if (!state.mysql.semi_sync?.source_enabled) return;
  if (await rewrite(context, record, { degraded: undefined }, "enough ackers are listed again")) {
    log.info("no longer degraded: enough ackers are listed again");
  }
};

/** Another node has seen a higher fence: an attempt came to nothing, or a command would be refused there. */
const takeNewFence = async (context: AgentContext): Promise<boolean> => {
  const { log, state } = context;
  const record = state.record;
  const seen = Math.max(state.fenceSeenElsewhere, context.highestFence.current());
  if (!record || seen <= record.fence) return false;
  try {
    await context.turn(() =>
      reopen(context, `took a new fence: another node has seen ${seen}, and no one was promoted`, { patienceMs: 500 }),
    );
  } catch (error) {
    // An attempt is under way, or a candidate was stopped in one.
    if (!(error instanceof Failure && error.reason === "lock-held")) throw error;
    log.debug(error.message);
  }
  return true;
};

/** One round of the open primary: at most one change of the acker list, and the change to `serving`. Answers whether mysqld was changed. */
export const leadOnce = async (context: AgentContext): Promise<boolean> => {
  const { state } = context;
  const record = state.record;
  // Without a list of instances nobody can be said to be gone.
  if (!record || state.peers === undefined || state.heldBy) return false;
  const round = await look(context, record);
  if (await takeNewFence(context)) return true;
  if (await goOnAlone(context, round)) return true;
  if (await adjustWaitCount(context, round)) return true;
  const decision = decideAckers(
    {
      record,
      sourceSemiSyncOn: state.mysql.semi_sync?.source_enabled === true,
      replicas: round.replicas,
      refused: await refusedInstances(context),
      patienceMs,
    },
    gtid,
  );
  await setGoals(context, round);
  await perform(context, round, decision);
  await beginServing(context);
  await endDegraded(context);
  return decision.step === "semi-sync-on";
};
