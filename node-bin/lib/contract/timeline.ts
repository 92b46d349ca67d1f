import * as v from "valibot";
import { Fence, InstanceId, IsoTime } from "./names.ts";

/** `timelines/{n}.json`: where a branch of history left its parent. */
export const Timeline = v.object({
  schema: v.literal(1),
  timeline: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** Absent for the first. */
  parent: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  /** Executed set at the branch. */
  branch_gtid_set: v.string(),
  fence: Fence,
  instance_id: InstanceId,
  why: v.string(),
  began_at: IsoTime,
});
export type Timeline = v.InferOutput<typeof Timeline>;
