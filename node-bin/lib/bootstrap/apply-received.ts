import type { ReplicationStatus } from "#contract/agent-api.ts";
import * as gtid from "#contract/gtid.ts";
import { waitFor } from "../host/wait.ts";
import type { BootstrapContext } from "./context.ts";

/** Received transactions that could not be applied. */
export interface Unapplied {
  readonly gtidSet: string;
  /** The address that they came from. */
  readonly source: string;
  /** What keeps the applier from it. */
  readonly because: string;
}

/**
 * Stops receiving and applies everything that was received, because naming another source throws relay logs away, and this node
 * may be the only one that has them. Replication is stopped when it returns. Answers what could not be applied.
 */
export const applyReceived = async (
  { log, mysql, signal, step }: Pick<BootstrapContext, "log" | "mysql" | "signal" | "step">,
  replication: ReplicationStatus,
): Promise<Unapplied | undefined> => {
  await mysql.stopReceiver();
  const { gtid_executed, replication: stopped } = await mysql.observe();
  const received = (stopped ?? replication).received_gtid_set;
  const waiting = gtid.subtract(received, gtid_executed);
  if (gtid.isEmpty(waiting)) {
    await mysql.stopReplication();
    return undefined;
  }
  const source = replication.source_host;
  await step(`applying ${waiting}, received from ${source}`);
  await mysql.startReplication({ applierOnly: true });
  let left = waiting;
  const unapplied = await waitFor(
    "everything that was received to be applied",
    async (): Promise<Unapplied | "none" | undefined> => {
      const now = await mysql.observe();
      left = gtid.subtract(received, now.gtid_executed);
      if (gtid.isEmpty(left)) return "none";
      const { applier, applier_errno, applier_error } = now.replication ?? {};
      if (applier === "yes") return undefined;
      const error = applier_errno === undefined ? "no error" : `error ${applier_errno}: ${applier_error ?? ""}`;
      return { gtidSet: left, source, because: `the applier stopped with ${error}` };
    },
    { everyMs: 100, deadlineMs: 24 * 3_600_000, lastSeen: () => `${left} is left`, signal },
  );
  await mysql.stopReplication();
  if (unapplied === "none") return undefined;
  log.warn(`${unapplied.gtidSet}, received from ${source}, could not be applied: ${unapplied.because}`);
  return unapplied;
};
