import * as v from "valibot";
import { Fence, InstanceId, IsoTime } from "./names.ts";

/** How far the archive reaches. Written after the segment is durable, never before. */
export const BinlogPositionItem = v.object({
  pk: v.string(),
  timeline: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** Sequence number of the last durable segment in its timeline. */
  sequence: v.pipe(v.number(), v.integer(), v.minValue(0)),
  gtid_set: v.string(),
  /** Commit time of the last archived transaction, microseconds since the epoch. */
  last_commit_us: v.pipe(v.number(), v.safeInteger()),
  updated_at: IsoTime,
  holder: InstanceId,
  fence: Fence,
});
export type BinlogPositionItem = v.InferOutput<typeof BinlogPositionItem>;
