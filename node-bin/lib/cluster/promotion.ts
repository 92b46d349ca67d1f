import { isListed, type TopologyRecord } from "#contract/topology.ts";
import type { GtidSets } from "./ackers.ts";

/** A replica that has stopped receiving for the length of an attempt. */
export interface FrozenReplica {
  readonly instanceId: string;
  readonly serverUuid: string;
  readonly incarnation: string | undefined;
  /** All that it received or executed. */
  readonly holds: string;
}

/** What an attempt came to know. */
export interface PromotionView {
  readonly record: TopologyRecord;
  readonly frozen: readonly FrozenReplica[];
  /** Who could not be frozen, and why. */
  readonly refused: readonly { readonly instanceId: string; readonly because: string }[];
  /** The one that leads the attempt is preferred among equals. */
  readonly preferred: string;
  /** A person accepts that acknowledged writes may be lost. */
  readonly acceptLoss?: boolean;
}

export type PromotionDecision =
  | {
      readonly promote: FrozenReplica;
      /** What it has to have executed before it is recorded. */
      readonly union: string;
      /** Recorded ackers whose state is not known; with `acceptLoss` they may hold what is lost. */
      readonly missing: readonly string[];
    }
  | { readonly promote: undefined; readonly because: string };

/** How many of the recorded ackers have to be frozen, so that every acknowledged write lies with at least one of them. */
export const ackersToFreeze = ({ ackers, wait_count }: Pick<TopologyRecord, "ackers" | "wait_count">): number =>
  ackers.length - wait_count + 1;

/**
 * The safe promotion. With N recorded ackers and a wait count of w every acknowledged write lies with at least w of them, so
 * N-w+1 frozen ones, each in its recorded incarnation, hold all of them between them. What they hold are prefixes of one
 * stream, so the one with most has the union, and it is promoted.
 */
export const decidePromotion = (view: PromotionView, gtid: GtidSets): PromotionDecision => {
  const { record, frozen, refused, preferred, acceptLoss = false } = view;
  const isCounted = (replica: FrozenReplica): boolean => isListed(record, replica.instanceId, replica.incarnation);
  const counted = frozen.filter(isCounted);
  const needed = ackersToFreeze(record);
  const missing = record.ackers
    .map((acker) => acker.instance_id)
    .filter((id) => !counted.some((replica) => replica.instanceId === id));
  if (!acceptLoss) {
    if (record.degraded || record.ackers.length < record.wait_count) {
      return {
        promote: undefined,
        because: `the record lists ${record.ackers.length} of ${record.wait_count} ackers${record.degraded ? `, degraded since ${record.degraded.since}` : ""}: acknowledged writes may lie with the primary alone`,
      };
    }
    if (counted.length < needed) {
      const why = missing.map((id) => {
        const said = refused.find((each) => each.instanceId === id)?.because;
        const restarted = frozen.some((replica) => replica.instanceId === id);
        return `${id} (${said ?? (restarted ? "it restarted since it was listed" : "it did not answer")})`;
      });
      return {
        promote: undefined,
        because: `${counted.length} of the ${needed} ackers that are needed could be frozen; missing: ${why.join(", ")}`,
      };
    }
  }
  const unionOf = (replicas: readonly FrozenReplica[]): string =>
    replicas.reduce((all, replica) => gtid.union(all, replica.holds), "");
  const holdersOf = (replicas: readonly FrozenReplica[]): FrozenReplica[] => {
    const all = unionOf(replicas);
    return replicas.filter((replica) => gtid.contains(replica.holds, all));
  };
  // One that is not counted and has transactions of its own must not keep the ackers, which hold all that was acknowledged, from it.
  const considered = acceptLoss || holdersOf(frozen).length > 0 ? frozen : counted;
  const union = unionOf(considered);
  const holders = holdersOf(considered);
  const holder =
    holders.find((replica) => replica.instanceId === preferred) ??
    holders[0] ??
    (acceptLoss ? frozen.find((replica) => replica.instanceId === preferred) : undefined);
  if (!holder) {
    return {
      promote: undefined,
      because: `no replica holds all of ${union}: ${frozen.map((each) => `${each.instanceId} has ${each.holds || "nothing"}`).join(", ") || "none could be frozen"}`,
    };
  }
  return { promote: holder, union: holders.length > 0 ? union : holder.holds, missing };
};
