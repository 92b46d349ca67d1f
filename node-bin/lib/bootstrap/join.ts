import type { NodeStatus, ReplicationStatus } from "#contract/agent-api.ts";
import { accountNames } from "#contract/credentials.ts";
import { Failure } from "#contract/failure-reasons.ts";
import * as gtid from "#contract/gtid.ts";
import { units } from "#contract/names.ts";
import { ports } from "#contract/ports.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { Marker } from "../cluster/data-directory.ts";
import { monotonicMs, waitFor } from "../host/wait.ts";
import type { MysqlObservation } from "../mysql/server.ts";
import type { BootstrapContext } from "./context.ts";
import { startMysql } from "./form.ts";

/** MySQL's error numbers that a joining replica may meet. */
const accessDenied = [1045, 1698, 3118];
const sourceHasPurged = 1236;

/** How long the primary's agent may take to create this node's replication account, milliseconds. */
const accountPatienceMs = 20_000;

/** What a join came to: joined, or data that cannot join and have to be replaced. */
export type JoinOutcome =
  | { readonly joined: true }
  | {
      readonly joined: false;
      /** Why the data have to be replaced, in words for people. */
      readonly replace: string;
      /** The backup that the data came from would only bring them back: a newer one is needed. */
      readonly needsNewerBackup: boolean;
    };

/**
 * The record, while it names this primary. Errors: `superseded` when it names another, or when this one stopped renewing its
 * lease while it formed the cluster: then one of those who wait for it has to take over.
 */
const stillPrimary = async (context: BootstrapContext, record: TopologyRecord): Promise<TopologyRecord> => {
  const now = await context.topology.read();
  if (now?.instance_id !== record.instance_id) {
    throw new Failure("superseded", {
      message: `The primary changed to ${now?.instance_id ?? "nobody"} while this node was joining.`,
    });
  }
  if (now.phase === "forming" && (await context.primaryWatch.look(now)) === "stale") {
    throw new Failure("superseded", {
      message: `${now.instance_id} stopped renewing its lease while it formed the cluster.`,
    });
  }
  return now;
};

const primaryStatus = async (context: BootstrapContext, record: TopologyRecord): Promise<NodeStatus> => {
  let last = "no answer";
  return waitFor(
    `the primary ${record.instance_id} to say what it has executed`,
    async () => {
      await stillPrimary(context, record);
      const status = await context.agents.status(record.private_ip).catch((error: unknown) => {
        last = error instanceof Error ? error.message : String(error);
        return undefined;
      });
      if (status?.mysql.up && status.mysql.gtid_executed !== undefined) return status;
      if (status) last = status.mysql.error ?? "its mysqld is not up";
      return undefined;
    },
    { everyMs: 500, deadlineMs: 600_000, lastSeen: () => last, signal: context.signal },
  );
};

/** Gives restored data the executed set of their backup; a copy that already says so is left alone. */
const claimBackupSet = async (
  context: BootstrapContext,
  observed: MysqlObservation,
  marker: Marker,
): Promise<MysqlObservation> => {
  const set = marker.backup?.gtid_set;
  if (set === undefined || gtid.contains(observed.gtid_executed, set)) return observed;
  await context.step("telling mysqld which transactions the backup holds");
  await context.mysql.setGtidPurged(set);
  return context.mysql.observe();
};

const replicationProblem = (replication: ReplicationStatus, began: number): Failure | "purged" | undefined => {
  const errno = replication.receiver_errno;
  if (errno === sourceHasPurged) return "purged";
  if (errno !== undefined && accessDenied.includes(errno)) {
    if (monotonicMs() - began < accountPatienceMs) return undefined;
    return new Failure("credentials-refused", {
      message: `The primary refuses this node's replication account: ${replication.receiver_error ?? `error ${errno}`}.`,
    });
  }
  if (replication.applier === "no" && replication.applier_errno !== undefined) {
    return new Failure("replication-broken", {
      message: `The applier stopped with error ${replication.applier_errno}: ${replication.applier_error ?? ""}.`,
    });
  }
  return undefined;
};

/**
 * Makes this node a replica of the recorded primary and waits until it has executed what the primary had when it began.
 * Nothing of the node's own is ever replicated away: errant transactions are looked for before replication starts.
 */
export const joinAsReplica = async (
  context: BootstrapContext,
  record: TopologyRecord,
  marker: Marker,
  serverId: number,
): Promise<JoinOutcome> => {
  const { config, identity, log, mysql } = context;
  const started = await startMysql(context);
  if (!started.super_read_only) await mysql.setSuperReadOnly();
  let observed = await claimBackupSet(context, started, marker);
  // One that is only trying to connect is set up anew: what it was told may be what is wrong.
  const replicatesAlready =
    observed.replication?.source_host === record.private_ip && observed.replication.receiver === "yes";
  if (observed.replication && !replicatesAlready) {
    await mysql.stopReplication();
    observed = await mysql.observe();
  }

  await context.step("comparing with the primary");
  // What this very primary began is in its log, also when it still waits there for an acknowledgement and is not executed yet.
  const primary = await primaryStatus(context, record);
  const theirs = primary.mysql.gtid_executed ?? "";
  const errant = replicatesAlready
    ? ""
    : gtid.ofOthers(gtid.subtract(observed.gtid_executed, theirs), record.server_uuid);
  if (!gtid.isEmpty(errant)) {
    if (record.phase === "forming")
      return {
        joined: false,
        replace: `it has ${errant}, which the primary of this forming cluster does not have`,
        needsNewerBackup: false,
      };
    throw new Failure("errant-transactions", {
      message: `This node has ${errant}, which the primary ${record.instance_id} does not have.`,
    });
  }
  const missing = gtid.subtract(primary.mysql.gtid_purged ?? "", observed.gtid_executed);
  if (!gtid.isEmpty(missing))
    return {
      joined: false,
      replace: `the primary has purged ${missing} from its binlogs, which this node does not have`,
      needsNewerBackup: true,
    };

  if (!replicatesAlready) {
    await context.step(`replicating from ${record.instance_id}`);
    const credentials = await context.credentials();
    await mysql.stopReplication();
    await mysql.configureSource({
      host: record.private_ip,
      port: ports.mysql,
      user: accountNames.replication(serverId),
      password: credentials.replication,
      tls: config.mysql.replication_tls === "required",
      bind: identity.privateIp,
    });
    await mysql.startReplication();
  }

  await context.step(`catching up with ${record.instance_id}`);
  const began = monotonicMs();
  let last = "nothing yet";
  return waitFor(
    "this node to catch up with the primary",
    async (): Promise<JoinOutcome | undefined> => {
      await stillPrimary(context, record);
      const now = await mysql.observe();
      const replication = now.replication;
      if (!replication)
        throw new Failure("replication-broken", { message: "The replication that was just configured is gone." });
      const problem = replicationProblem(replication, began);
      if (problem === "purged")
        return {
          joined: false,
          replace: `the primary has purged binlogs that this node needs: ${replication.receiver_error ?? ""}`,
          needsNewerBackup: true,
        };
      if (problem) throw problem;
      last = `receiver ${replication.receiver}, applier ${replication.applier}, ${replication.receiver_error ?? replication.applier_error ?? "no error"}`;
      if (replication.receiver !== "yes" || replication.applier !== "yes") return undefined;
      if (!gtid.contains(now.gtid_executed, theirs)) return undefined;
      log.info(`caught up with ${record.instance_id}`);
      return { joined: true };
    },
    { everyMs: 250, deadlineMs: 24 * 3_600_000, lastSeen: () => last, signal: context.signal },
  );
};

/** Waits until the cluster serves, so that somebody is there to take over if its first primary dies before that. */
export const waitUntilServing = async (context: BootstrapContext, record: TopologyRecord): Promise<void> => {
  await context.joined();
  await waitFor(
    "the cluster to serve",
    async () => ((await stillPrimary(context, record)).phase === "serving" ? true : undefined),
    { everyMs: 500, deadlineMs: Number.POSITIVE_INFINITY, signal: context.signal },
  );
};

/** Stops mysqld and moves the data directory away, so that the next decision sees none. */
export const setAside = async (context: BootstrapContext, because: string): Promise<void> => {
  await context.step(`setting the data directory aside: ${because}`);
  // Not by a shutdown alone: that would switch semi-sync off and tell clients whose commits wait that all is well.
  await context.services.kill(units.mysql, "SIGKILL").catch(() => {});
  await context.services.stop(units.mysql);
  const name = await context.data.setAside(context.now());
  context.log.warn(`the data directory was moved to ${name}, because ${because}`);
};
