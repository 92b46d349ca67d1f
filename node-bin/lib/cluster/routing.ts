import { roleTagValue } from "#contract/tags.ts";
import type { Verdict } from "./serving.ts";

/** What the outside says about this node, and what the agent says of itself. */
export interface RoutingView {
  readonly servesWrites: Verdict;
  readonly servesReads: Verdict;
  /** The record names this node. */
  readonly isPrimary: boolean;
  readonly serving: boolean;
  /** mysqld replicates or leads: the node has joined. */
  readonly joined: boolean;
  /** Its group is about to terminate it. */
  readonly leaving: boolean;
  readonly mode: "forward" | "registration";
  /** It holds the primary lease, by its own clock: nobody has replaced it. */
  readonly leaseHeld: boolean;
  readonly seen: {
    readonly roleTag: string | undefined;
    readonly inWriteGroup: boolean;
    /** Other nodes of this cluster that are in the write group. */
    readonly othersInWriteGroup: readonly string[];
    readonly inReadGroup: boolean;
    readonly protectedFromScaleIn: boolean | undefined;
  };
}

/** One repair of the outside towards the record. */
export type RoutingRepair =
  | { readonly repair: "tag-role"; readonly value: string }
  | { readonly repair: "register-write" | "deregister-write" | "register-read" | "deregister-read" }
  | { readonly repair: "deregister-other-write"; readonly instanceId: string }
  | { readonly repair: "protect" | "unprotect" };

/**
 * What has to change so that tags, target groups and scale-in protection say what the record says. With `forward` routing
 * every node is in both groups: a failover then needs nothing of the load balancer. With `registration` routing the primary
 * is in the write group and replicas are in the read group. Taking out comes before putting in. The primary also takes out of
 * the write group who cannot do so itself, because its node is dead or does not know yet that it was replaced.
 * A replica that is merely behind stays registered: its health check takes it out of the traffic and back again.
 */
export const routingRepairs = (view: RoutingView): RoutingRepair[] => {
  const { seen } = view;
  const repairs: RoutingRepair[] = [];
  const leads = view.isPrimary && view.serving;
  const follows = !view.isPrimary && view.serving && view.joined && !view.leaving;
  const forwards = view.mode === "forward" && view.serving && (view.joined || view.isPrimary) && !view.leaving;
  const writes = view.mode === "forward" ? forwards : leads;
  const reads = view.mode === "forward" ? forwards : follows;
  if (seen.inWriteGroup && !writes) repairs.push({ repair: "deregister-write" });
  if (seen.inReadGroup && !reads) repairs.push({ repair: "deregister-read" });
  if (writes && !seen.inWriteGroup && (forwards || view.servesWrites.ok)) repairs.push({ repair: "register-write" });
  if (reads && !seen.inReadGroup && (forwards || view.servesReads.ok)) repairs.push({ repair: "register-read" });
  if (view.mode === "registration" && leads && view.servesWrites.ok && view.leaseHeld) {
    for (const instanceId of seen.othersInWriteGroup) repairs.push({ repair: "deregister-other-write", instanceId });
  }
  const role = leads ? roleTagValue.primary : follows ? roleTagValue.replica : undefined;
  if (role !== undefined && seen.roleTag !== role) repairs.push({ repair: "tag-role", value: role });
  if (leads && seen.protectedFromScaleIn === false) repairs.push({ repair: "protect" });
  if (!view.isPrimary && view.serving && seen.protectedFromScaleIn === true) repairs.push({ repair: "unprotect" });
  return repairs;
};
