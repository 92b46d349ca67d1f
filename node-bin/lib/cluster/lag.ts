import type { ReplicationStatus } from "#contract/agent-api.ts";

/** The lag when MySQL knew it last. */
export interface KnownLag {
  readonly seconds: number;
  /** When, milliseconds on the monotonic clock. */
  readonly at: number;
}

/**
 * MySQL does not tell the lag of a replica that lost its source. How old its data can be is known all the same: what they
 * were then, and the time since. So readers keep their replicas for as long as the lag limit allows when the primary is gone.
 */
export const estimateLag = (
  replication: ReplicationStatus,
  known: KnownLag | undefined,
  now: number,
): { readonly replication: ReplicationStatus; readonly known: KnownLag | undefined } => {
  if (replication.lag_seconds !== undefined) {
    return { replication, known: { seconds: replication.lag_seconds, at: now } };
  }
  if (!known || replication.receiver !== "connecting" || replication.applier !== "yes") return { replication, known };
  const seconds = known.seconds + Math.ceil((now - known.at) / 1000);
  return { replication: { ...replication, lag_seconds: seconds }, known };
};
