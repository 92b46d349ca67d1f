import { setTimeout as delay } from "node:timers/promises";
import type { TopologyRecord } from "#contract/topology.ts";
import type { Reign } from "./history.ts";

/** A version of the topology record as it was seen first. */
export interface SeenRecord {
  readonly seenAt: number;
  readonly record: TopologyRecord;
}

/** What became of the record over time. */
export interface RecordWatch {
  /** Who was the recorded primary, in order. It grows. */
  readonly reigns: readonly Reign[];
  /** Every version that was seen. It grows. */
  readonly versions: readonly SeenRecord[];
  stop(): Promise<void>;
}

/** Shorter than any time as primary, milliseconds. */
const lookEveryMs = 100;

/** Follows the topology record. A look that fails is made again. */
export const watchTopology = (read: () => Promise<TopologyRecord | undefined>, now: () => number): RecordWatch => {
  const reigns: Reign[] = [];
  const versions: SeenRecord[] = [];
  let going = true;
  /** When the last look that was answered had been sent. */
  let lookedAt = Number.NEGATIVE_INFINITY;
  const look = async (): Promise<void> => {
    const sentAt = now();
    const record = await read();
    if (record === undefined) return;
    if (versions.at(-1)?.record.rvn !== record.rvn) versions.push({ seenAt: now(), record });
    if (reigns.at(-1)?.server !== record.server_uuid) {
      reigns.push({ server: record.server_uuid, fence: record.fence, notBefore: lookedAt });
    }
    lookedAt = sentAt;
  };
  const running = (async () => {
    while (going) {
      await look().catch(() => {});
      await delay(lookEveryMs);
    }
  })();
  return {
    reigns,
    versions,
    stop: async () => {
      going = false;
      await running;
    },
  };
};
