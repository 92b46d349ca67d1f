import type { TopologyRecord } from "#contract/topology.ts";
import type { Lease } from "../coordination/lease.ts";

/** Whether the recorded primary shows that it is alive. */
export interface PrimaryWatch {
  /**
   * `stale`: under this fence its lease was neither renewed nor taken for a whole lease, by this node's own clock. A primary
   * that was recorded a moment ago gets that long to take its lease, however long nobody held it before.
   */
  look(record: TopologyRecord): Promise<"live" | "watching" | "stale">;
}

/** Watches the primary lease beside the record. `now` is monotonic milliseconds. */
export const watchPrimary = (lease: Lease, now: () => number): PrimaryWatch => {
  let recorded: { readonly fence: number; readonly since: number } | undefined;
  return {
    look: async (record) => {
      if (recorded?.fence !== record.fence) recorded = { fence: record.fence, since: now() };
      const { state, unchangedMs, leaseMs } = await lease.observe();
      const quietMs = Math.min(unchangedMs, now() - recorded.since);
      if (quietMs >= leaseMs) return "stale";
      return state === "held" ? "live" : "watching";
    },
  };
};
