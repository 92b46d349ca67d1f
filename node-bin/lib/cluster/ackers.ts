import type { BinlogPosition } from "#contract/agent-api.ts";
import { type Acker, isListed, type TopologyRecord } from "#contract/topology.ts";

/** Set arithmetic that the decisions need; passed in so that this folder imports nothing outside itself. */
export interface GtidSets {
  /** Whether `set` contains all of `part`. */
  contains(set: string, part: string): boolean;
  union(a: string, b: string): string;
}

/**
 * What is in the primary's log at one moment. The executed set does not have the commits that still wait for an
 * acknowledgement, one of which may be on its way; the end of the binlog has.
 */
export interface PrimaryLog {
  readonly executedSet: string;
  readonly end: BinlogPosition;
}

/** A replica as the primary sees it. */
export interface ReplicaView {
  readonly instanceId: string;
  /** Whether its agent answered. */
  readonly reachable: boolean;
  /**
   * The primary's log as it was when this incarnation was seen for the first time with semi-sync as it is now. All that an
   * earlier incarnation may have acknowledged is in it, so that a replica which holds it may be listed, however much is
   * written meanwhile.
   */
  readonly goal: PrimaryLog | undefined;
  /** For how long its agent has not answered, milliseconds; 0 when it did. */
  readonly silentMs: number;
  /** Whether the instance still exists in the group. */
  readonly exists: boolean;
  readonly incarnation?: string | undefined;
  /** Its receiver is connected to this primary. */
  readonly receiving: boolean;
  /** For how long its agent has answered that it is not receiving, milliseconds; 0 when it is. */
  readonly notReceivingMs: number;
  readonly applying: boolean;
  readonly receivedSet: string;
  readonly executedSet: string;
  /** How far its receiver has read this primary's binlog. */
  readonly readPosition: BinlogPosition | undefined;
  readonly acknowledging: boolean;
}

/** What the primary knows when it decides about its ackers. */
export interface AckerView {
  readonly record: TopologyRecord;
  readonly sourceSemiSyncOn: boolean;
  readonly replicas: readonly ReplicaView[];
  /** Replicas whose accounts this primary has locked. */
  readonly refused: readonly string[];
  /** An acker that stays silent or cut off for longer is taken off the list, milliseconds. */
  readonly patienceMs: number;
}

export type AckerDecision =
  | { readonly step: "none"; readonly because: string }
  /** Switch the source side of semi-sync on: enough replicas are ready to be listed. */
  | { readonly step: "semi-sync-on" }
  /** Record the replica; it acknowledges once it reads itself in the record. */
  | { readonly step: "list"; readonly acker: Acker; readonly ackers: readonly Acker[] }
  /**
   * Take the replica off the list: it stops acknowledging (its agent is asked, or it is refused by locking its account and
   * killing its dump thread), then `enoughHold` is asked of fresh views, then `ackers` is recorded.
   */
  | {
      readonly step: "unlist";
      readonly instanceId: string;
      readonly how: "ask" | "refuse";
      readonly ackers: readonly Acker[];
      readonly because: string;
    }
  /** The replica's agent answers again, and it is listed or confirms that it does not acknowledge: let it in again. */
  | { readonly step: "admit"; readonly instanceId: string };

const fileNumber = (name: string): number => Number(/\.(\d+)$/.exec(name)?.[1] ?? Number.NaN);

/** Whether one position is at or behind another, in the binlog of one server. */
export const reaches = (position: BinlogPosition | undefined, end: BinlogPosition): boolean => {
  if (!position) return false;
  const [at, goal] = [fileNumber(position.file), fileNumber(end.file)];
  return at > goal || (at === goal && position.offset >= end.offset);
};

const holds = (gtid: GtidSets, replica: ReplicaView, log: PrimaryLog, firstAckers: boolean): boolean =>
  reaches(replica.readPosition, log.end) &&
  gtid.contains(
    firstAckers ? replica.executedSet : gtid.union(replica.receivedSet, replica.executedSet),
    log.executedSet,
  );

/**
 * The next change of the acker list, one at a time. The rules are those of the model of who may acknowledge: listed only
 * after it holds everything, counted only in the incarnation that was listed, and never taken off while it can still
 * acknowledge or while fewer than the wait count of the others hold what is committed.
 */
export const decideAckers = (view: AckerView, gtid: GtidSets): AckerDecision => {
  const { record, replicas } = view;
  const needed = record.wait_count;
  const byId = new Map(replicas.map((replica) => [replica.instanceId, replica]));
  const isAcker = (replica: ReplicaView): boolean => isListed(record, replica.instanceId, replica.incarnation);

  for (const instanceId of view.refused) {
    const replica = byId.get(instanceId);
    const listed = record.ackers.some((a) => a.instance_id === instanceId);
    // One that is back before it was taken off the list may acknowledge as before; refusing it would leave nobody who can.
    if (replica?.reachable && (listed || !replica.acknowledging)) return { step: "admit", instanceId };
  }

  // Until every one of the first ackers is in, a new primary asks for what they have executed, not only received.
  const firstAckers = record.ackers.length < needed || record.phase === "forming";
  const ready = replicas.filter(
    (r) =>
      r.reachable &&
      r.exists &&
      r.receiving &&
      r.applying &&
      r.incarnation !== undefined &&
      !view.refused.includes(r.instanceId) &&
      !isAcker(r) &&
      r.goal !== undefined &&
      holds(gtid, r, r.goal, firstAckers),
  );
  if (!view.sourceSemiSyncOn) {
    const listed = replicas.filter(isAcker).length;
    return ready.length + listed >= needed
      ? { step: "semi-sync-on" }
      : { step: "none", because: `${ready.length + listed} of ${needed} first ackers hold everything` };
  }
  const grown = ready[0];
  if (grown?.incarnation !== undefined) {
    const acker = { instance_id: grown.instanceId, incarnation: grown.incarnation };
    return {
      step: "list",
      acker,
      ackers: [...record.ackers.filter((a) => a.instance_id !== grown.instanceId), acker],
    };
  }

  for (const acker of record.ackers) {
    const rest = record.ackers.filter((a) => a.instance_id !== acker.instance_id);
    if (rest.length < needed) continue;
    const unfit = unfitness(byId.get(acker.instance_id), view.patienceMs);
    if (unfit) return { step: "unlist", instanceId: acker.instance_id, ackers: rest, ...unfit };
  }
  return { step: "none", because: "the list is as it should be" };
};

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;

const unfitness = (
  replica: ReplicaView | undefined,
  patienceMs: number,
): { how: "ask" | "refuse"; because: string } | undefined => {
  if (!replica?.exists) return { how: "refuse", because: "its instance is gone" };
  if (!replica.reachable) {
    if (replica.silentMs < patienceMs) return undefined;
    return { how: "refuse", because: `its agent has been silent for ${seconds(replica.silentMs)}` };
  }
  if (replica.notReceivingMs < patienceMs) return undefined;
  return { how: "ask", because: `it has not received from the primary for ${seconds(replica.notReceivingMs)}` };
};

/**
 * Whether at least the wait count of `ackers` hold what the primary has committed, which is asked after the one that leaves
 * has stopped acknowledging and before the shorter list is recorded.
 */
export const enoughHold = (
  ackers: readonly Acker[],
  needed: number,
  log: PrimaryLog,
  replicas: readonly ReplicaView[],
  gtid: GtidSets,
): boolean =>
  ackers.filter((acker) => {
    const replica = replicas.find((r) => r.instanceId === acker.instance_id);
    return (
      replica?.reachable === true &&
      replica.receiving &&
      replica.incarnation === acker.incarnation &&
      holds(gtid, replica, log, false)
    );
  }).length >= needed;
