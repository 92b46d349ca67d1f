import { ofOthers as gtidsOfOthers, subtract as subtractGtids } from "#contract/gtid.ts";
import type { NodeReading } from "./snapshot.ts";

/** Transactions that a replica has and the primary seems not to have. */
export interface Errant {
  readonly gtids: string;
  /**
   * The primary was seen after the replica, so that it cannot be that the replica was merely ahead of an old view of the
   * primary.
   */
  readonly proven: boolean;
}

/**
 * Errant transactions of a replica; undefined when there are none or nothing can be said. What the primary itself began does not count:
 * a replica may have executed a commit that still waits for its acknowledgement on the primary.
 */
export function errantOf(replica: NodeReading, primary: NodeReading): Errant | undefined {
  if (!replica.answered || !primary.answered) return undefined;
  const [own, others] = [replica.status.mysql.gtid_executed, primary.status.mysql.gtid_executed];
  const uuid = primary.status.mysql.server_uuid;
  if (own === undefined || others === undefined || uuid === undefined) return undefined;
  const gtids = gtidsOfOthers(subtractGtids(own, others), uuid);
  if (gtids === "") return undefined;
  return { gtids, proven: primarySeenAfter(replica, primary) >= 0 };
}

/** Milliseconds by which the primary was surely seen after the replica; negative when it may have been before. */
export function primarySeenAfter(
  replica: Extract<NodeReading, { answered: true }>,
  primary: Extract<NodeReading, { answered: true }>,
): number {
  return primary.askedAt - primary.status.mysql.seen_ms_ago - replica.answeredAt;
}
