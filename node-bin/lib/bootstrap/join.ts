import type { NodeStatus, ReplicationStatus } from "#contract/agent-api.ts";
import { accountNames } from "#contract/credentials.ts";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import * as gtid from "#contract/gtid.ts";
import { ports } from "#contract/ports.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { Marker } from "../cluster/data-directory.ts";
import { monotonicMs, waitFor } from "../host/wait.ts";
import type { MysqlObservation } from "../mysql/server.ts";
import { applyReceived } from "./apply-received.ts";
import type { BootstrapContext } from "./context.ts";
import { startMysql } from "./form.ts";
import { saveBeforeReseed } from "./reseed.ts";
import { stillPrimary, untilNotFrozen } from "./still-primary.ts";

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
 * What the recorded primary says of its mysqld, seen after the moment `since`, monotonic milliseconds: everything that was its before is in
 * it, so that what it lacks is not its.
 */
const primaryStatus = async (context: BootstrapContext, record: TopologyRecord, since: number): Promise<NodeStatus> => {
  let last = "no answer";
  return waitFor(
    `the primary ${record.instance_id} to say what it has executed`,
    async () => {
      await stillPrimary(context, record);
      const asked = monotonicMs();
      const status = await context.agents.status(record.private_ip).catch((error: unknown) => {
        last = messageOf(error);
        return undefined;
      });
      if (!status) return undefined;
      const { mysql } = status;
      if (status.instance_id !== record.instance_id) {
        last = `${status.instance_id} answers at ${record.private_ip}`;
      } else if (!mysql.up || mysql.gtid_executed === undefined) {
        last = mysql.error ?? "its mysqld is not up";
      } else if (mysql.server_uuid !== record.server_uuid) {
        last = `its mysqld is ${mysql.server_uuid ?? "unknown"}, and the record has ${record.server_uuid}`;
      } else if (asked - mysql.seen_ms_ago < since) {
        last = `its agent looked at mysqld ${Math.round(mysql.seen_ms_ago)} ms ago`;
      } else return status;
      return undefined;
    },
    { everyMs: 100, deadlineMs: 600_000, lastSeen: () => last, signal: context.signal },
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

/** Connects to the primary, as soon as this node may receive. */
const startReceiving = async (context: BootstrapContext, record: TopologyRecord, serverId: number): Promise<void> => {
  const { config, identity, mysql } = context;
  await untilNotFrozen(context, record);
  await context.step(`replicating from ${record.instance_id}`);
  const credentials = await context.credentials();
  await mysql.configureSource({
    host: record.private_ip,
    port: ports.mysql,
    user: accountNames.replication(serverId),
    password: credentials.replication,
    tls: config.mysql.replication_tls === "required",
    bind: identity.privateIp,
  });
  await mysql.startReplication();
};

/** Waits until this node has executed what the primary had, and replicates. */
const catchUp = async (context: BootstrapContext, record: TopologyRecord, theirs: string): Promise<JoinOutcome> => {
  const { log, mysql } = context;
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
      if (replication.receiver === "no" && replication.receiver_errno === undefined) {
        // The agent stopped it when it was asked to freeze, or somebody did by hand.
        await untilNotFrozen(context, record);
        await mysql.startReceiver();
        return undefined;
      }
      if (replication.receiver !== "yes" || replication.applier !== "yes") return undefined;
      if (!gtid.contains(now.gtid_executed, theirs)) return undefined;
      log.info(`caught up with ${record.instance_id}`);
      return { joined: true };
    },
    { everyMs: 250, deadlineMs: 24 * 3_600_000, lastSeen: () => last, signal: context.signal },
  );
};

/**
 * Makes this node a replica of the recorded primary and waits until it has executed what the primary had when it began. Nothing that
 * this node received or did is lost by it: what was received is applied first, and what the primary does not have is saved
 * before the data are replaced.
 */
export const joinAsReplica = async (
  context: BootstrapContext,
  record: TopologyRecord,
  marker: Marker,
  serverId: number,
): Promise<JoinOutcome> => {
  const { mysql } = context;
  const started = await startMysql(context);
  if (!started.super_read_only) await mysql.setSuperReadOnly();
  let observed = await claimBackupSet(context, started, marker);
  // One that is only trying to connect is set up anew: what it was told may be what is wrong.
  const replicatesAlready =
    observed.replication?.source_host === record.private_ip && observed.replication.receiver === "yes";
  const unapplied =
    observed.replication && !replicatesAlready ? await applyReceived(context, observed.replication) : undefined;
  observed = await mysql.observe();

  await context.step("comparing with the primary");
  const primary = await primaryStatus(context, record, monotonicMs());
  const theirs = primary.mysql.gtid_executed ?? "";
  // What this very primary began is in its log, also when it still waits there for an acknowledgement and is not executed yet.
  const lacks = (set: string): string => gtid.ofOthers(gtid.subtract(set, theirs), record.server_uuid);
  const errant = lacks(observed.gtid_executed);
  const notExecuted = lacks(unapplied?.gtidSet ?? "");
  if (!gtid.isEmpty(errant)) {
    if (record.phase === "forming")
      return {
        joined: false,
        replace: `it has ${errant}, which the primary of this forming cluster does not have`,
        needsNewerBackup: false,
      };
    return {
      joined: false,
      replace: await saveBeforeReseed(context, { record, primary, observed, errant, notExecuted }),
      needsNewerBackup: false,
    };
  }
  if (unapplied && !gtid.isEmpty(notExecuted)) {
    throw new Failure("replication-broken", {
      message: `This node has received ${notExecuted} from ${unapplied.source}, which the primary ${record.instance_id} does not have, and cannot apply it: ${unapplied.because}`,
      changed: "The node is out of the target groups; its data and its relay logs were left as they are.",
      next: "Mend what MySQL's error says, or move the data directory away; the node is then restored from the newest backup.",
    });
  }
  const missing = gtid.subtract(primary.mysql.gtid_purged ?? "", observed.gtid_executed);
  if (!gtid.isEmpty(missing))
    return {
      joined: false,
      replace: `the primary has purged ${missing} from its binlogs, which this node does not have`,
      needsNewerBackup: true,
    };
  if (!replicatesAlready) await startReceiving(context, record, serverId);
  return catchUp(context, record, theirs);
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
