import { join } from "node:path";
import * as v from "valibot";
import { StopAcknowledging } from "#contract/agent-api.ts";
import { accountNames } from "#contract/credentials.ts";
import { describeFailure } from "#contract/failure-reasons.ts";
import { leaseTimings } from "#contract/lease.ts";
import { ports } from "#contract/ports.ts";
import type { DataDirectories } from "../bootstrap/data-directory.ts";
import { progressFile, readProgress } from "../bootstrap/progress.ts";
import { allocatedServerIds } from "../coordination/server-ids.ts";
import { monotonicMs } from "../host/wait.ts";
import { replicationAccount } from "../mysql/accounts.ts";
import { actOnce } from "./act.ts";
import type { AgentContext } from "./context.ts";
import { watchLeaving } from "./leaving.ts";
import { type Loop, runLoop } from "./loops.ts";
import type { Nonces } from "./nonces.ts";
import { observeMysql } from "./observe.ts";
import { reconcileRouting, routingKey } from "./routing.ts";
import { startAgentServer } from "./server.ts";
import { type AgentSelf, healthVerdict, nodeStatus, noteRecord, readsVerdict, writesVerdict } from "./state.ts";

/** How often mysqld is looked at, milliseconds. */
const observeEveryMs = 250;
/** How often the decisions are made, milliseconds. */
const actEveryMs = 250;
/** How often EC2 is asked who is in the cluster, milliseconds. */
const peersEveryMs = 5000;
/** How often the outside is compared with the record when nothing changed here, milliseconds. */
const reconcileEveryMs = 5000;

const watchRecord = async (context: AgentContext): Promise<void> => {
  const { highestFence, state, topology } = context;
  const record = await topology.read();
  noteRecord(state, record);
  if (record) await highestFence.raise(record.fence);
};

const watchSelf = async (context: AgentContext, data: DataDirectories): Promise<void> => {
  const { config, state } = context;
  state.bootstrap = await readProgress(join(config.state_dir, progressFile));
  const found = await data.look();
  state.dataFormation = found.kind === "ours" ? found.marker.formation : undefined;
};

const watchPeers = async (context: AgentContext): Promise<void> => {
  const { config, ec2, identity, state } = context;
  const instances = await ec2.describeInstances({ clusterId: config.cluster_id });
  state.peers = instances
    .filter((i) => i.instanceId !== identity.instanceId && (i.state === "running" || i.state === "pending"))
    .flatMap((i) => (i.privateIp === undefined ? [] : [{ instanceId: i.instanceId, privateIp: i.privateIp }]));
};

/**
 * Holds the primary lease while the record names this node and its mysqld answers: the lease says that the primary is
 * alive. A dead mysqld releases it at once; one that hangs lets it go stale.
 */
const keepLease = async (context: AgentContext): Promise<void> => {
  const { identity, log, primaryLease, state } = context;
  const named = state.record?.instance_id === identity.instanceId;
  const held = state.lease?.held() === true;
  if (named && state.mysql.up) {
    if (held) return;
    const grant = await primaryLease.tryAcquire({ force: true });
    if (!grant) return;
    grant.startRenewing();
    state.lease = grant;
    log.info(`holds the primary lease under its fence ${grant.fence}`);
    return;
  }
  if (!state.lease) return;
  const lease = state.lease;
  state.lease = undefined;
  const why = named
    ? `mysqld does not answer: ${state.mysql.error ?? "no reason"}`
    : "another node is recorded as primary";
  log.warn(`releases the primary lease: ${why}`);
  await lease.release(why);
};

const isOpenPrimary = ({ identity, state }: AgentContext): boolean =>
  state.record?.instance_id === identity.instanceId &&
  state.mysql.up &&
  state.mysql.read_only === false &&
  state.mysql.super_read_only === false;

/**
 * A replica that received a commit before it was listed never acknowledges it. When commits wait although enough ackers
 * are connected, one more commit is made, whose acknowledgement is theirs too.
 */
const releaseHeldCommits = async (context: AgentContext): Promise<void> => {
  const { log, mysqlForWrites, state } = context;
  const semiSync = state.mysql.semi_sync;
  const held =
    isOpenPrimary(context) &&
    (semiSync?.waiting ?? 0) > 0 &&
    (semiSync?.clients ?? 0) >= (state.record?.wait_count ?? 1);
  const before = state.commitsHeld;
  state.commitsHeld = held;
  if (!held || !before) return;
  const released = await mysqlForWrites.releaseHeldCommits();
  if (released) log.info("released commits that waited for an acknowledgement which would not have come");
};

/** The primary makes the replication accounts of instances that got a server id, on this server only. */
const keepAccounts = async (context: AgentContext): Promise<void> => {
  const { config, mysqlForWrites, table } = context;
  if (!isOpenPrimary(context)) return;
  const ids = await allocatedServerIds(table, config.cluster_id);
  const known = new Set(await mysqlForWrites.accountUsers());
  const missing = Object.values(ids).filter((serverId) => !known.has(accountNames.replication(serverId)));
  if (missing.length === 0) return;
  const credentials = await context.credentials();
  await mysqlForWrites.ensureAccounts(
    missing.map((serverId) =>
      replicationAccount({ serverId, network: config.account_network, password: credentials.replication }),
    ),
  );
  context.log.info(`created replication accounts: ${missing.map(accountNames.replication).join(", ")}`);
};

/** Runs the agent until its signal is aborted. */
export const runAgent = async (
  context: AgentContext,
  self: AgentSelf,
  data: DataDirectories,
  nonces: Nonces,
): Promise<void> => {
  const { highestFence, identity, log, state } = context;
  let agentKey: string | undefined;
  const server = await startAgentServer({
    address: identity.privateIp,
    port: ports.agent,
    answers: {
      healthy: () => healthVerdict(state, monotonicMs()),
      servesWrites: () => writesVerdict(state, self, monotonicMs()),
      servesReads: (limit) => readsVerdict(state, self, monotonicMs(), limit),
      status: () => nodeStatus(state, self, highestFence.current(), monotonicMs()),
    },
    handlers: {
      nudge: async () => watchRecord(context),
      acknowledge: async (body) => {
        const { rvn } = v.parse(StopAcknowledging, body);
        state.stoppedAtRvn = rvn;
        if (state.mysql.up) await context.mysql.setAcknowledging(false);
      },
    },
    guard: {
      key: () => agentKey,
      nonces,
      acceptFence: async (fence) => {
        if (fence < highestFence.current()) return false;
        await highestFence.raise(fence);
        return true;
      },
    },
    onError: (error) => log.warn(`a request failed: ${describeFailure(error)}`),
  });
  log.info(`listens on ${identity.privateIp}:${ports.agent}`);
  const loops: Loop[] = [
    { name: "mysql", everyMs: observeEveryMs, round: () => observeMysql(context) },
    { name: "record", everyMs: leaseTimings.short.observeEveryMs, round: () => watchRecord(context) },
    { name: "self", everyMs: 500, round: () => watchSelf(context, data) },
    { name: "peers", everyMs: peersEveryMs, round: () => watchPeers(context) },
    { name: "lease", everyMs: observeEveryMs, round: () => keepLease(context) },
    { name: "act", everyMs: actEveryMs, round: () => actOnce(context) },
    { name: "leaving", everyMs: 1000, round: () => watchLeaving(context) },
    { name: "accounts", everyMs: 1000, round: () => keepAccounts(context) },
    { name: "held commits", everyMs: 500, round: () => releaseHeldCommits(context) },
    {
      name: "routing",
      everyMs: reconcileEveryMs,
      round: () => reconcileRouting(context, self),
      wakeOn: () => routingKey(context, self),
    },
    {
      name: "credentials",
      everyMs: 60_000,
      round: async () => {
        agentKey = (await context.credentials()).agent;
      },
    },
  ];
  await Promise.all(loops.map((loop) => runLoop(context, loop)));
  server.closeAllConnections();
  server.close();
  await state.lease?.release("the agent was stopped").catch(() => {});
};
