import * as v from "valibot";
import { Failure } from "#contract/failure-reasons.ts";
import { LeaseItem } from "#contract/lease.ts";
import { hashKey } from "#contract/table.ts";
import type { Item } from "../aws/table.ts";
import { type Grant, type GrantParts, makeGrant } from "./grant.ts";
import { readItem } from "./read-item.ts";

export type { Grant, LeaseTimings } from "./grant.ts";

/** What a lease acts through. */
export interface LeaseParts extends GrantParts {
  /** What the holder wants to do, in words for people. */
  readonly purpose: string;
  /** Wall clock, for the text that people read; nothing compares it. */
  readonly wallClock: () => Date;
}

/** What this observer knows about a lease. */
export interface LeaseView {
  /** `stale`: held, but not renewed for its whole length on this observer's own clock, so that it may be taken over. */
  readonly state: "free" | "held" | "stale";
  /** How long this observer has seen the item (or its absence) as it is, milliseconds; 0 at the first look. */
  readonly unchangedMs: number;
  /** Length of the lease, milliseconds: the holder's own, or ours when nobody ever held it. */
  readonly leaseMs: number;
  /** The item as read; undefined when nobody ever held the lease. */
  readonly item: LeaseItem | undefined;
}

/** How to take a lease. */
export interface AcquireOptions {
  /** Takes it whoever holds it. Only for the recorded primary, on its own `primary-…` lease. */
  readonly force?: boolean;
  /** The first fence is above this one when the item does not exist; for a table whose lock item was lost. */
  readonly fenceAbove?: number;
}

/**
 * A lock with an owner that must renew it (contract `lease.ts`). One value of this type belongs to one observer and
 * remembers since when it has seen the item unchanged. Errors of all methods: those of the table, and `record-malformed`.
 */
export interface Lease {
  /** Reads the item. Look at least every `observeEveryMs` for a stale lease to be noticed in time. */
  observe(): Promise<LeaseView>;
  /** The same with an item that was read at once with others. `askedAt`: when the reading began, on the lease's own clock. */
  look(item: unknown, askedAt: number): LeaseView;
  /** The key of its item. */
  readonly key: string;
  /**
   * Takes the lease when it is free or stale; undefined when another holds it or was faster. One conditional update, which
   * raises the fence by one.
   */
  tryAcquire(options?: AcquireOptions): Promise<Grant | undefined>;
  /**
   * Goes on trying for `deadlineMs` milliseconds from now, or without end. Errors: `lock-held` (who holds it, and for what),
   * `store-unavailable` when the store did not answer at the end, `interrupted` when `signal` was aborted. The errors leave
   * nothing changed.
   */
  acquire(options?: AcquireOptions & { readonly deadlineMs?: number; readonly signal?: AbortSignal }): Promise<Grant>;
}

/** The version of a missing item, for the observer's memory. */
const nobodyEver = "";

export const makeLease = (parts: LeaseParts): Lease => {
  const { table, pk, owner, timings, purpose, now, wallClock, uuid, sleep } = parts;
  let seen: { readonly rvn: string; readonly since: number } | undefined;

  const observe = async (): Promise<LeaseView> => {
    const askedAt = now();
    return look(await table.get(pk), askedAt);
  };

  const look = (read: unknown, askedAt: number): LeaseView => {
    const item = readItem(LeaseItem, read as Item | undefined, `lease ${pk}`);
    const rvn = item?.rvn ?? nobodyEver;
    // First seen when the answer was here: the holder may have renewed while the question was on its way. Unchanged until it
    // was asked: this process may have been stopped since.
    if (seen?.rvn !== rvn) seen = { rvn, since: now() };
    const unchangedMs = Math.max(0, askedAt - seen.since);
    const leaseMs = item?.lease_ms ?? timings.leaseMs;
    const state = item?.owner === undefined ? "free" : unchangedMs >= leaseMs ? "stale" : "held";
    return { state, unchangedMs, leaseMs, item };
  };

  const take = async (
    view: LeaseView,
    { force = false, fenceAbove = 0 }: AcquireOptions,
  ): Promise<Grant | undefined> => {
    if (view.state === "held" && !force) return undefined;
    const rvn = uuid();
    const sentAt = now();
    const result = await table.update(
      pk,
      {
        set: { owner, lease_ms: timings.leaseMs, rvn, acquired_at: wallClock().toISOString(), purpose },
        increase: { fence: { by: 1, from: fenceAbove } },
        remove: ["released", "released_by"],
      },
      {
        // On what was read even when it was free: an attempt that was given up cannot take effect much later.
        condition: view.item === undefined ? { absent: hashKey } : { equals: ["rvn", view.item.rvn] },
        own: (item) => item.rvn === rvn,
      },
    );
    if (!result.written) return undefined;
    const { fence } = v.parse(LeaseItem, result.item);
    seen = { rvn, since: now() };
    const grant = makeGrant({ table, pk, owner, timings, now, uuid, sleep }, { fence, rvn, sentAt });
    if (grant.held()) return grant;
    // The answer took so long that the lease cannot be relied on; the others need not wait for it.
    await grant.release("acquired too slowly to be used");
    return undefined;
  };

  return {
    key: pk,
    observe,
    look,
    tryAcquire: async (options = {}) => take(await observe(), options),
    acquire: async ({ deadlineMs = Number.POSITIVE_INFINITY, signal, ...options } = {}) => {
      const end = now() + deadlineMs;
      for (;;) {
        if (signal?.aborted) {
          throw new Failure("interrupted", {
            message: `Waiting for the lease ${pk} was interrupted.`,
            changed: "Nothing was changed.",
          });
        }
        let wait = timings.observeEveryMs;
        let refusal: Failure;
        try {
          const view = await observe();
          const grant = await take(view, options);
          if (grant) return grant;
          // A holder that renewed meanwhile has beaten a forced attempt by chance; otherwise the lease may go stale sooner.
          if (options.force) wait = 0;
          else if (view.state === "held") wait = Math.min(wait, view.leaseMs - view.unchangedMs);
          refusal = heldByAnother(pk, view, deadlineMs);
        } catch (error) {
          if (!(error instanceof Failure) || error.reason !== "store-unavailable") throw error;
          refusal = error;
        }
        const left = end - now();
        if (left <= 0) throw refusal;
        await sleep(Math.min(wait, left), signal);
      }
    },
  };
};

const heldByAnother = (pk: string, { item }: LeaseView, waitedMs: number): Failure =>
  new Failure("lock-held", {
    message: `The lease ${pk} is held by ${item?.owner ?? "another"}${item?.purpose ? ` for: ${item.purpose}` : ""}; waited ${waitedMs} ms for it.`,
  });
