import * as v from "valibot";
import { Fence } from "./names.ts";

/**
 * A lock with an owner that must renew it. It is free when `owner` is absent, and may be taken over when `rvn` stayed the
 * same for `lease_ms` on the observer's own monotonic clock; wall clocks are never compared.
 */
export const LeaseItem = v.object({
  pk: v.string(),
  /** Who holds it: instance id, or a name that is unique to the process. Absent when free. */
  owner: v.optional(v.string()),
  /** How long the holder may go without renewing, milliseconds. */
  lease_ms: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** Record version: a new random value with every acquisition, renewal and release. */
  rvn: v.string(),
  /** Grows by one with every acquisition. */
  fence: Fence,
  /** For people; nothing compares it. */
  acquired_at: v.optional(v.string()),
  /** What the holder wants to do, in words for people. */
  purpose: v.optional(v.string()),
  /** Why the last holder let go. */
  released: v.optional(v.string()),
  /** Who that was. */
  released_by: v.optional(v.string()),
});
export type LeaseItem = v.InferOutput<typeof LeaseItem>;

/** Timings of leases, milliseconds. */
export const leaseTimings = {
  /** Election, primary and operation leases. */
  short: { leaseMs: 3000, renewEveryMs: 1000, observeEveryMs: 500 },
  /** Backup and binlog leases. */
  long: { leaseMs: 30_000, renewEveryMs: 10_000, observeEveryMs: 5000 },
} as const;
