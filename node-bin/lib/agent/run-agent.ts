import { join } from "node:path";
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
import { commandHandlers } from "./commands.ts";
import type { AgentContext } from "./context.ts";
import { applyForwarding, forwardingKey } from "./forwarding.ts";
import { leadOnce } from "./lead.ts";
import { watchLeaving } from "./leaving.ts";
import { type Loop, runLoop } from "./loops.ts";
import type { Nonces } from "./nonces.ts";
import { observeMysql } from "./observe.ts";
import { settle, takeLease } from "./open.ts";
import { orchestratorLoops } from "./orchestrator.ts";
import { replacePrimary } from "./replace-primary.ts";
import { reportPromotion } from "./report.ts";
import { reconcileRouting, routingKey } from "./routing.ts";
import { startAgentServer } from "./server.ts";
import {
  type AgentSelf,
  healthVerdict,
  isOpenPrimary,
  nodeStatus,
  readsVerdict,
  staleAfterMs,
  writesVerdict,
} from "./state.ts";
import { warmNewServer } from "./warm-logins.ts";
import { watchStore } from "./watch.ts";

/** How often mysqld is looked at, milliseconds. */
const observeEveryMs = 500;
/** How often the decisions are made, milliseconds. */
const actEveryMs = 500;
/** How often the primary looks at its replicas while all of them acknowledge, milliseconds. */
const leadSteadilyEveryMs = 1000;
/** How long after a change of primary things are looked at more often, and how often, milliseconds. */
const settlingMs = 8000;
const settlingEveryMs = 80;
/** How often EC2 is asked who is in the cluster, milliseconds; more often while somebody is missing. */
const peersEveryMs = 30_000;
const peersSoonMs = 3000;
/**
 * How often the outside is compared with the record when nothing changed here, milliseconds; less often once it was found to agree, more
 * often when that failed.
 */
const reconcileEveryMs = 10_000;
const agreesEveryMs = 30_000;
const reconcileAgainMs = 2000;
/** How often the primary looks for instances without a replication account, milliseconds; more often while somebody is missing. */
const accountsEveryMs = 15_000;
const accountsSoonMs = 1000;

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
 * alive. A dead mysqld lets it go at once; one that hangs lets it go stale. One that was replaced leaves it to its successor.
 */
const keepLease = async (context: AgentContext): Promise<void> => {
  const { identity, log, state } = context;
  const named = state.record?.instance_id === identity.instanceId;
  const answered = monotonicMs() - state.mysqlUpAt <= staleAfterMs;
  if (named && state.mysql.up && answered) return takeLease(context);
  // One that has answered a moment ago and is not dead may only be busy.
  if (!state.lease || (named && answered && !state.mysqldDead)) return;
  const { lease } = state;
  state.lease = undefined;
  if (!named) {
    lease.forget();
    return log.info("leaves the primary lease to the recorded primary");
  }
  const why = `mysqld does not answer: ${state.mysql.error ?? "it was not seen for too long"}`;
  if (!state.mysqldDead) {
    lease.forget();
    return log.warn(`renews the primary lease no more: ${why}`);
  }
  log.warn(`lets go of the primary lease: ${why}`);
  await lease.release(why);
  await Promise.all(
    (state.peers ?? []).map((peer) =>
      context.agents.command(peer.privateIp, "nudge", state.record?.fence ?? 0, {}).catch(() => {}),
    ),
  );
};

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
  // Under load some commit waits at every look; held are those after which nothing is executed.
  const before = state.heldAt;
  state.heldAt = held ? state.mysql.gtid_executed : undefined;
  if (!held || before !== state.heldAt) return;
  const released = await mysqlForWrites.releaseHeldCommits();
  if (released) log.info("released commits that waited for an acknowledgement which would not have come");
};

/**
 * A primary that has lost the store and its ackers cannot know whether it was replaced: it serves nobody, and whoever is
 * connected looks for the primary anew.
 */
const closeSessionsWithoutAckers = async (context: AgentContext, self: AgentSelf): Promise<void> => {
  const { log, mysqlForWrites, state } = context;
  const alone =
    isOpenPrimary(context) &&
    state.record?.phase === "serving" &&
    !state.record.degraded &&
    state.lease?.held() !== true &&
    !writesVerdict(state, self, monotonicMs()).ok;
  const before = state.alone;
  state.alone = alone;
  // Twice in a row: a lease is taken up again at once after the agent or mysqld was started anew.
  if (!alone || !before) return;
  const ended = await mysqlForWrites.endClientSessions();
  if (ended > 0) log.warn(`ended ${ended} sessions: neither the store nor enough ackers can be reached`);
};

/**
 * The primary makes the replication accounts of instances that got a server id: at once on this server only, and when commits
 * do not have to wait for long also on the replicas, so that whoever is primary next has them.
 */
const keepAccounts = async (context: AgentContext): Promise<void> => {
  const { config, log, mysqlForWrites, state, table } = context;
  if (!isOpenPrimary(context)) return;
  const ids = Object.values(await allocatedServerIds(table, config.cluster_id));
  const credentials = await context.credentials();
  const accountOf = (serverId: number, everywhere: boolean) =>
    replicationAccount({ serverId, network: config.account_network, password: credentials.replication, everywhere });
  const known = new Set(await mysqlForWrites.accountUsers());
  const missing = ids.filter((serverId) => !known.has(accountNames.replication(serverId)));
  if (missing.length > 0) {
    await mysqlForWrites.ensureAccounts(missing.map((serverId) => accountOf(serverId, false)));
    log.info(`created replication accounts: ${missing.map(accountNames.replication).join(", ")}`);
  }
  const semiSync = state.mysql.semi_sync;
  const waits = semiSync?.source_enabled === true && semiSync.clients < (state.record?.wait_count ?? 1);
  // One that is refused stays locked until its agent has answered.
  const locked = new Set(await mysqlForWrites.lockedAccounts());
  const shared = ids.filter((serverId) => !locked.has(accountNames.replication(serverId)));
  if (!waits) await mysqlForWrites.ensureAccounts(shared.map((serverId) => accountOf(serverId, true)));
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
    handlers: commandHandlers(context),
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
  /** Everybody who should be there is, and is an acker. */
  const complete = (): boolean =>
    state.record?.phase === "serving" &&
    state.record.ackers.length === context.config.instance_count - 1 &&
    state.peers?.length === context.config.instance_count - 1;
  /** Shortly after a change of primary, and while its commits wait for their first ackers, everyone looks more often. */
  const settling = (): boolean =>
    monotonicMs() - state.newPrimaryAt < settlingMs ||
    (state.record !== undefined && state.record.ackers.length < state.record.wait_count);
  const often = (usualMs: number) => (): number => (settling() ? settlingEveryMs : usualMs);
  /** What the outside says of this node was found to agree with the record. */
  let agrees = false;
  /** Everybody is an acker and connected: one that leaves is seen at the own server first. */
  const steady = (): boolean =>
    complete() && !settling() && (state.mysql.semi_sync?.clients ?? 0) >= context.config.instance_count - 1;
  const loops: Loop[] = [
    { name: "mysql", everyMs: often(observeEveryMs), round: () => observeMysql(context), looks: true },
    { name: "record", everyMs: leaseTimings.short.observeEveryMs, round: () => watchStore(context), looks: true },
    {
      name: "self",
      everyMs: () => (state.bootstrap?.state === "joined" ? 2000 : 500),
      round: () => watchSelf(context, data),
    },
    {
      name: "peers",
      everyMs: () => (complete() ? peersEveryMs : peersSoonMs),
      round: () => watchPeers(context),
      wakeOn: () => String(complete()),
    },
    { name: "lease", everyMs: observeEveryMs, round: () => keepLease(context), wakes: true },
    { name: "report", everyMs: 2000, round: () => reportPromotion(context) },
    { name: "act", everyMs: often(actEveryMs), round: () => actOnce(context), wakes: true },
    {
      name: "lead",
      everyMs: () => (steady() ? leadSteadilyEveryMs : often(actEveryMs)()),
      round: async () => {
        if (isOpenPrimary(context) && (await leadOnce(context))) await observeMysql(context);
      },
      wakes: true,
    },
    { name: "failover", everyMs: actEveryMs, round: () => replacePrimary(context), wakes: true },
    ...orchestratorLoops(context),
    { name: "sessions", everyMs: 500, round: () => closeSessionsWithoutAckers(context, self) },
    {
      name: "forwarder",
      everyMs: 2000,
      round: () => applyForwarding(context),
      wakeOn: () => forwardingKey(context),
    },
    { name: "leaving", everyMs: 2000, round: () => watchLeaving(context) },
    {
      name: "accounts",
      everyMs: () => (complete() ? accountsEveryMs : accountsSoonMs),
      round: () => keepAccounts(context),
      wakeOn: () => String(complete()),
    },
    { name: "held commits", everyMs: often(500), round: () => releaseHeldCommits(context) },
    {
      name: "routing",
      everyMs: () => (state.problems.has("routing") ? reconcileAgainMs : agrees ? agreesEveryMs : reconcileEveryMs),
      round: async () => {
        agrees = false;
        agrees = await reconcileRouting(context, self);
      },
      wakeOn: () => routingKey(context, self),
    },
    { name: "settle", everyMs: 500, round: () => settle(context) },
    { name: "logins", everyMs: 2000, round: () => warmNewServer(context) },
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
  // The primary lives on without its agent, which is started again; its lease is taken up then.
  state.lease?.forget();
};
