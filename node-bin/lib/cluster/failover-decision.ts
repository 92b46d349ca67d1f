import type { LeaseItem } from "#contract/lease.ts";
import type { TopologyRecord } from "#contract/topology.ts";

/** The primary lease as this node sees it. */
export interface SeenPrimaryLease {
  readonly state: "free" | "held" | "stale";
  readonly item: LeaseItem | undefined;
}

/** What a replica's agent knows when it asks itself whether the primary has to be replaced. */
export interface FailoverView {
  readonly me: string;
  readonly record: TopologyRecord | undefined;
  readonly lease: SeenPrimaryLease | undefined;
  /** Its mysqld answers, and its bootstrap has come to its end. */
  readonly usable: boolean;
  /** Its group is about to terminate it. */
  readonly leaving: boolean;
  /** Its receiver is connected: events or heartbeats come. */
  readonly streamAlive: boolean;
}

export type FailoverDecision =
  | { readonly attempt: true; readonly because: string }
  | { readonly attempt: false; readonly because: string };

const no = (because: string): FailoverDecision => ({ attempt: false, because });

/** Who let go of the lease last, when it was let go of: an owner is an instance and a process of it. */
const releasedBy = (lease: SeenPrimaryLease, instanceId: string): boolean =>
  lease.state === "free" && lease.item?.released_by?.split("/")[0] === instanceId;

/** Whether the recorded primary has let go of its lease: its own agent says that its mysqld is dead. */
export const primaryHasLetGo = (lease: SeenPrimaryLease | undefined, record: TopologyRecord): boolean =>
  lease !== undefined && releasedBy(lease, record.instance_id);

/**
 * A replica acts when the recorded primary has let go of its lease, or when the lease is stale on this node's own clock and
 * its own stream from the primary is dead: a primary that is only cut off from the store still feeds its replicas.
 */
export const decideFailover = (view: FailoverView): FailoverDecision => {
  const { lease, record } = view;
  if (!record) return no("there is no record");
  if (record.phase !== "serving") return no("the cluster is forming");
  if (record.instance_id === view.me) return no("this node is the primary");
  if (!view.usable) return no("this node is not usable");
  if (view.leaving) return no("this node is about to be terminated");
  if (!lease) return no("the primary lease was not seen yet");
  if (primaryHasLetGo(lease, record)) {
    return {
      attempt: true,
      because: `${record.instance_id} let go of its lease: ${lease.item?.released ?? "no reason"}`,
    };
  }
  if (lease.state === "held") return no("the primary renews its lease");
  if (view.streamAlive) return no("the lease is not renewed, but this node's stream from the primary is alive");
  return { attempt: true, because: `${record.instance_id} does not renew its lease, and its stream is dead` };
};

/**
 * Whether a replica may be frozen for an attempt. One whose own stream is alive refuses, unless the primary has let go or a
 * person accepts the loss: otherwise a candidate that is cut off could stop a healthy primary.
 */
export const mayFreeze = (view: {
  readonly me: string;
  readonly record: TopologyRecord | undefined;
  readonly primary: string;
  readonly fence: number;
  readonly streamAlive: boolean;
  readonly letGo: boolean;
  readonly forced: boolean;
}): { readonly ok: boolean; readonly because: string } => {
  const { record } = view;
  if (!record) return { ok: false, because: "it has not read the topology record" };
  if (record.instance_id !== view.primary)
    return { ok: false, because: `for this node ${record.instance_id} is the primary` };
  if (record.instance_id === view.me) return { ok: false, because: "it is the primary" };
  if (record.fence >= view.fence) return { ok: false, because: `the record has fence ${record.fence} already` };
  if (view.streamAlive && !view.letGo && !view.forced)
    return { ok: false, because: "its own stream from the primary is alive" };
  return { ok: true, because: "frozen" };
};
