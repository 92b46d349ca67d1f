import type { Disagreement } from "#contract/cluster-status.ts";
import { errant, missingNodes, mysqldDown, replication, unreachable } from "./nodes.ts";
import { noPrimary, primaryNotWritable, roleTags, writableNodes } from "./roles.ts";
import { ackers, backups, degraded, raftPeers } from "./safety.ts";
import { targetGroups } from "./target-groups.ts";
import type { ClusterView, Finder } from "./view.ts";

/** In the order in which a person wants to read them. */
const finders: readonly Finder[] = [
  writableNodes,
  noPrimary,
  primaryNotWritable,
  unreachable,
  mysqldDown,
  errant,
  ackers,
  degraded,
  replication,
  targetGroups,
  missingNodes,
  roleTags,
  raftPeers,
  backups,
];

/** All disagreements, the critical ones first. */
export const findDisagreements = (view: ClusterView): Disagreement[] => {
  const found = finders.flatMap((find) => find(view));
  const all = view.snapshot.settled ? found : found.map(unsettled);
  return [...all.filter((each) => each.severity === "critical"), ...all.filter((each) => each.severity === "warning")];
};

const aboutRoles: readonly Disagreement["kind"][] = [
  "two-writable-nodes",
  "record-names-another-primary",
  "no-primary",
  "primary-not-writable",
];

const unsettled = (found: Disagreement): Disagreement =>
  aboutRoles.includes(found.kind)
    ? { ...found, seen: `${found.seen} The topology record kept changing while this was read: read the status again.` }
    : found;
