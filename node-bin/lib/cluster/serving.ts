import type { MysqlStatus } from "#contract/agent-api.ts";
import type { TopologyRecord } from "#contract/topology.ts";

/** What an agent knows when it says whether clients may use its node. */
export interface ServingView {
  readonly me: string;
  readonly record: TopologyRecord | undefined;
  readonly mysql: MysqlStatus;
  /** Whether the primary lease is held, by the holder's own clock. */
  readonly leaseHeld: boolean;
  /** What was seen of mysqld longer ago than this does not count, milliseconds. */
  readonly staleAfterMs: number;
  readonly maxLagSeconds: number;
}

/** A verdict with its reason, for the health endpoints and for people. */
export interface Verdict {
  readonly ok: boolean;
  readonly because: string;
}

const no = (because: string): Verdict => ({ ok: false, because });
const yes = (because: string): Verdict => ({ ok: true, because });

const mysqlUsable = (view: ServingView): Verdict => {
  if (!view.mysql.up) return no(`mysqld does not answer${view.mysql.error ? `: ${view.mysql.error}` : ""}`);
  if (view.mysql.seen_ms_ago > view.staleAfterMs)
    return no(`mysqld was last seen ${Math.round(view.mysql.seen_ms_ago)} ms ago`);
  return yes("mysqld answers");
};

/** Whether clients may write through this node. */
export const servesWrites = (view: ServingView): Verdict => {
  const { record, mysql } = view;
  if (!record) return no("the topology record has not been read yet");
  if (record.instance_id !== view.me) return no(`${record.instance_id} is the primary`);
  if (record.phase !== "serving") return no("the cluster is still forming");
  const usable = mysqlUsable(view);
  if (!usable.ok) return usable;
  if (mysql.read_only !== false || mysql.super_read_only !== false) return no("it is read-only");
  const ackers = mysql.semi_sync?.clients ?? 0;
  const waits = mysql.semi_sync?.source_enabled === true;
  // Somebody has decided that it goes on without: a person by force, or the configuration.
  if (!waits && !record.degraded) return no("commits do not wait for an acknowledgement");
  // A primary cut off from the store cannot know whether it was replaced; connected ackers show that it was not.
  if (!view.leaseHeld && ackers < record.wait_count) {
    return no(`the primary lease is not held, and ${ackers} of ${record.wait_count} ackers are connected`);
  }
  if (!waits) return yes(`it is the primary, degraded by ${record.degraded?.by}: commits wait for nobody`);
  return yes(
    view.leaseHeld
      ? "it is the primary and holds the lease"
      : `the lease is not held, but ${ackers} ackers are connected`,
  );
};

/** Whether clients may read from this node, at most `limitSeconds` behind. */
export const servesReads = (view: ServingView, limitSeconds = view.maxLagSeconds): Verdict => {
  const { record, mysql } = view;
  if (!record) return no("the topology record has not been read yet");
  if (record.instance_id === view.me) return no("it is the primary");
  if (record.phase !== "serving") return no("the cluster is still forming");
  const usable = mysqlUsable(view);
  if (!usable.ok) return usable;
  if (mysql.super_read_only !== true) return no("it is a replica, and not read-only");
  const replication = mysql.replication;
  if (!replication) return no("it does not replicate");
  if (replication.source_host !== record.private_ip)
    return no(`it replicates from ${replication.source_host}, not from the primary`);
  if (replication.applier !== "yes") return no(`its applier stands: ${replication.applier_error ?? "no error given"}`);
  if (replication.receiver === "no")
    return no(`its receiver stands: ${replication.receiver_error ?? "no error given"}`);
  if (replication.lag_seconds === undefined) return no("MySQL does not know how far it is behind");
  if (replication.lag_seconds > limitSeconds)
    return no(`it is ${replication.lag_seconds} s behind, ${limitSeconds} s are allowed`);
  return yes(`it is ${replication.lag_seconds} s behind`);
};
