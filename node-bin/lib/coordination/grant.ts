import { Failure } from "#contract/failure-reasons.ts";
import type { Condition, Item, Table } from "../aws/table.ts";

/** How long a lease lasts and how often it is renewed and looked at, milliseconds; `leaseTimings` has the values in use. */
export interface LeaseTimings {
  readonly leaseMs: number;
  readonly renewEveryMs: number;
  readonly observeEveryMs: number;
}

/** What a grant acts through. */
export interface GrantParts {
  readonly table: Table;
  /** Key of the item, from `itemKey`. */
  readonly pk: string;
  /** Who asks: an instance id, or a name that is unique to the process. */
  readonly owner: string;
  readonly timings: LeaseTimings;
  /** Monotonic milliseconds. Everything that is decided is decided on this clock. */
  readonly now: () => number;
  readonly uuid: () => string;
  /** Waits; ends early without an error when `signal` is aborted. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/**
 * A lease that was taken. It is safe to rely on `held()` without asking the store: an observer counts the length of the
 * lease from when it saw a renewal, which is later than when this process sent it. Once lost, a grant stays lost.
 */
export interface Grant {
  /** Higher than that of every earlier grant of the same lease. */
  readonly fence: number;
  /** Whether nobody else can have taken the lease, by this process's own monotonic clock. Asks nobody. */
  held(): boolean;
  /** Call it before each side effect that the lease protects. Error: `lock-lost`. */
  assertHeld(): void;
  /** Renews now. Errors: `lock-lost`; those of the table when it did not answer and the lease still lasts. */
  renewNow(): Promise<void>;
  /** Renews in the background until the grant is lost or released. */
  startRenewing(): void;
  /** Aborted when the grant is lost (not when it is released); its reason is the failure. Noticed in time only while renewing. */
  readonly signal: AbortSignal;
  /**
   * Lets the lease go, so that the next one need not wait, and keeps the item with its fence. Never throws: `lost` when it
   * belongs to another, `unknown` when the store did not answer (it then ends by itself).
   */
  release(reason: string): Promise<"released" | "lost" | "unknown">;
  /** Renews no more and leaves the item as it is: it goes stale, or its next holder takes it by force. */
  forget(): void;
}

/** The part of a lease's length that its holder does not use: for what lies between a check and its effect. */
const safetyMarginMs = (leaseMs: number): number => leaseMs / 6;

/** The grant that came of an acquisition sent at `sentAt`. */
export const makeGrant = (
  { table, pk, owner, timings, now, uuid, sleep }: GrantParts,
  acquired: { readonly fence: number; readonly rvn: string; readonly sentAt: number },
): Grant => {
  const { fence } = acquired;
  const usableMs = timings.leaseMs - safetyMarginMs(timings.leaseMs);
  const loss = new AbortController();
  const stop = new AbortController();
  let state: "held" | "lost" | "released" = "held";
  let confirmedAt = acquired.sentAt;
  let lastSentAt = acquired.sentAt;
  // Values that the item may have now: the last confirmed one, and those of renewals whose fate is not known.
  let versions = [{ rvn: acquired.rvn, sentAt: acquired.sentAt }];
  let releasing: Promise<"released" | "lost" | "unknown"> | undefined;
  let renewing = false;

  const lose = (because: string): void => {
    if (state !== "held") return;
    state = "lost";
    stop.abort();
    loss.abort(new Failure("lock-lost", { message: `The lease ${pk} with fence ${fence} was lost: ${because}.` }));
  };

  const held = (): boolean => {
    if (state === "held" && now() - confirmedAt >= usableMs) lose(`no renewal was confirmed within ${usableMs} ms`);
    return state === "held";
  };

  const assertHeld = (): void => {
    if (held()) return;
    if (loss.signal.aborted) throw loss.signal.reason;
    throw new Failure("lock-lost", { message: `The lease ${pk} with fence ${fence} was released by its holder.` });
  };

  const mine = (): Condition => ({
    all: [{ equals: ["owner", owner] }, { oneOf: ["rvn", versions.map(({ rvn }) => rvn)] }],
  });

  const renew = async (): Promise<void> => {
    const condition = mine();
    const renewal = { rvn: uuid(), sentAt: now() };
    versions.push(renewal);
    lastSentAt = renewal.sentAt;
    const result = await table.update(
      pk,
      { set: { rvn: renewal.rvn } },
      { condition, own: (item) => item.rvn === renewal.rvn },
    );
    if (result.written) {
      if (renewal.sentAt < confirmedAt) return;
      confirmedAt = renewal.sentAt;
      versions = versions.filter(({ sentAt }) => sentAt >= confirmedAt);
    } else if (!isThisGrant(result.current)) {
      lose(`it belongs to ${describeHolder(result.current)}`);
    }
  };

  // A renewal may be refused because a later one of the same grant overtook it; owner and fence tell that from a loss.
  const isThisGrant = (item: Item | undefined): boolean => item?.owner === owner && item.fence === fence;

  const renewInBackground = async (): Promise<void> => {
    while (held()) {
      // While one is unanswered the next is sent sooner and without waiting for it, so that a short outage costs nothing.
      const unanswered = lastSentAt > confirmedAt;
      const due = lastSentAt + (unanswered ? timings.renewEveryMs / 2 : timings.renewEveryMs);
      if (now() >= due) void renew().catch(() => {});
      else await sleep(Math.min(due, confirmedAt + usableMs) - now(), stop.signal);
    }
  };

  const release = async (reason: string): Promise<"released" | "lost" | "unknown"> => {
    const condition = mine();
    if (state === "held") state = "released";
    stop.abort();
    const rvn = uuid();
    try {
      const result = await table.update(
        pk,
        { set: { rvn, released: reason, released_by: owner }, remove: ["owner", "acquired_at", "purpose"] },
        { condition, own: (item) => item.rvn === rvn },
      );
      return result.written ? "released" : "lost";
    } catch {
      return "unknown";
    }
  };

  return {
    fence,
    held,
    assertHeld,
    renewNow: async () => {
      assertHeld();
      await renew();
      assertHeld();
    },
    startRenewing: () => {
      if (renewing) return;
      renewing = true;
      void renewInBackground();
    },
    signal: loss.signal,
    forget: () => {
      if (state === "held") state = "released";
      stop.abort();
    },
    release: (reason) => {
      releasing ??= release(reason);
      return releasing;
    },
  };
};

const describeHolder = (item: Item | undefined): string => {
  if (item === undefined) return "nobody: the item was deleted";
  if (item.owner === undefined) return `nobody (fence ${String(item.fence)})`;
  return `${String(item.owner)} with fence ${String(item.fence)}`;
};
