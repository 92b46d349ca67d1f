import type { MysqlStatus } from "#contract/agent-api.ts";
import { isListed, type TopologyRecord } from "#contract/topology.ts";

/** What an agent knows when it decides what to do with its own mysqld. */
export interface AgentView {
  readonly me: string;
  /** As read last; every change rests on a fresh read. */
  readonly record: TopologyRecord | undefined;
  readonly mysql: MysqlStatus;
  /** Formation of the data directory, from its marker. */
  readonly dataFormation: number | undefined;
  /** The bootstrap has come to its end here: until then replication is its business, and so is what it refuses. */
  readonly joined: boolean;
  /** Version of the record under which this replica was told not to acknowledge. */
  readonly stoppedAtRvn: string | undefined;
  /** The highest fence that this node has seen. Above the recorded one it is frozen: it receives nothing. */
  readonly highestFence: number;
  /** A live operation has made this primary read-only, or has stopped this replica to open it, and goes on from there. */
  readonly heldByOperation: boolean;
}

/** The next thing to do with the own mysqld, one at a time. */
export type AgentDecision =
  | { readonly act: "nothing" }
  /** The record names another node: read-only at once, sessions ended. */
  | { readonly act: "demote"; readonly because: string }
  /** The record names this node and it is read-only: take a new fence and open. */
  | { readonly act: "reopen"; readonly because: string }
  /** What was left on of its time as primary would make its applier wait for ever. */
  | { readonly act: "end-source-role" }
  /** It replicates from nobody or from another node: follow the recorded primary. */
  | { readonly act: "follow"; readonly because: string }
  | { readonly act: "acknowledge"; readonly on: boolean; readonly because: string }
  | { readonly act: "start-replication"; readonly because: string }
  /** What is wrong needs the bootstrap: other data, or binlogs that are gone. */
  | { readonly act: "bootstrap-again"; readonly because: string }
  /** This node is the open primary: look after the ackers. */
  | { readonly act: "lead" };

const nothing: AgentDecision = { act: "nothing" };

/** MySQL: the source has purged binlogs that the replica needs. */
const sourceHasPurged = 1236;

const asPrimary = (view: AgentView, record: TopologyRecord): AgentDecision => {
  const { mysql } = view;
  if (mysql.server_uuid !== record.server_uuid || view.dataFormation !== record.formation) {
    // The bootstrap decides what becomes of data that are not the recorded ones; they are never opened.
    return nothing;
  }
  if (mysql.read_only === false && mysql.super_read_only === false) return { act: "lead" };
  if (view.heldByOperation) return nothing;
  return { act: "reopen", because: "the record names this node, and its mysqld is read-only" };
};

const asReplica = (view: AgentView, record: TopologyRecord): AgentDecision => {
  const { mysql } = view;
  if (mysql.super_read_only === false) {
    return { act: "demote", because: `${record.instance_id} is the primary since fence ${record.fence}` };
  }
  if (mysql.semi_sync?.source_enabled) return { act: "end-source-role" };
  if (!view.joined) return nothing;
  if (view.dataFormation !== record.formation) {
    return { act: "bootstrap-again", because: `the cluster was formed anew as ${record.formation}` };
  }
  const listed = isListed(record, view.me, mysql.incarnation);
  const frozen = view.highestFence > record.fence;
  const allowed = listed && view.stoppedAtRvn !== record.rvn;
  const acknowledging = mysql.semi_sync?.replica_enabled === true;
  if (acknowledging && !allowed) {
    return {
      act: "acknowledge",
      on: false,
      because: listed ? "it was told to stop" : "it is not listed in this incarnation",
    };
  }
  if (view.heldByOperation) return nothing;
  // A freeze never ends by time: only a recorded fence that is as high ends it. One that refused to freeze goes on as it is.
  if (frozen) return nothing;
  const replication = mysql.replication;
  if (!replication || replication.source_host !== record.private_ip) {
    const source = replication ? replication.source_host : "nobody";
    return { act: "follow", because: `it replicates from ${source}, and the primary is ${record.private_ip}` };
  }
  if (replication.receiver_errno === sourceHasPurged) {
    return {
      act: "bootstrap-again",
      because: `the primary has purged what it needs: ${replication.receiver_error ?? ""}`,
    };
  }
  const failed = replication.receiver_errno !== undefined || replication.applier_errno !== undefined;
  if ((replication.receiver === "no" || replication.applier === "no") && !failed) {
    return { act: "start-replication", because: "its replication stands, and does not start by itself" };
  }
  if (!acknowledging && allowed && replication.receiver === "yes") {
    return { act: "acknowledge", on: true, because: "it is listed" };
  }
  return nothing;
};

/** Decides what an agent does next with its own mysqld. What was seen too long ago, or not at all, decides nothing. */
export const decideAgent = (view: AgentView): AgentDecision => {
  if (!view.record || !view.mysql.up) return nothing;
  return view.record.instance_id === view.me ? asPrimary(view, view.record) : asReplica(view, view.record);
};
