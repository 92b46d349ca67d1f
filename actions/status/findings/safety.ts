import { answering, critical, type Finder, finding, list, primaryOf, warning } from "./view.ts";

/** Fewer acknowledgements than a commit is to wait for. */
export const ackers: Finder = (view) => {
  const { record } = view.snapshot;
  if (record?.phase !== "serving" || record.wait_count === 0) return [];
  const primary = primaryOf(view)?.seen.reading;
  const semiSync = primary?.answered === true && primary.status.mysql.up ? primary.status.mysql.semi_sync : undefined;
  const seen = [
    record.ackers.length < record.wait_count ? `${record.ackers.length} replicas are listed as ackers` : "",
    semiSync?.source_enabled === false ? "commits on the primary wait for nobody" : "",
    semiSync?.source_enabled && semiSync.wait_count < record.wait_count
      ? `the primary waits for ${semiSync.wait_count}`
      : "",
    semiSync?.source_enabled && semiSync.clients < record.wait_count ? `${semiSync.clients} are connected` : "",
  ].filter((text) => text !== "");
  if (seen.length === 0) return [];
  return [
    finding(
      record.degraded ? "warning" : "critical",
      "too-few-ackers",
      [record.instance_id],
      `A commit is to wait for ${record.wait_count} acknowledgements; ${seen.join(", ")}.`,
      "Commits wait until enough replicas acknowledge, or are not safe against the loss of the primary; no replica is promoted by itself meanwhile. Bring the replicas back: the other findings say what keeps them.",
    ),
  ];
};

/** The record says that writes are accepted with too few ackers. */
export const degraded: Finder = ({ snapshot: { record } }) =>
  record?.degraded
    ? [
        critical(
          "degraded",
          [record.instance_id],
          `Writes are accepted with fewer ackers than ${record.wait_count} since ${record.degraded.since} (${record.degraded.by}).`,
          "What clients write now is lost with the primary, and no replica is promoted by itself. It ends by itself when enough replicas are listed as ackers again.",
        ),
      ]
    : [];

/** Raft peers that are dead or no node of the cluster, where the engine reports peers. */
export const raftPeers: Finder = (view) => {
  const addresses = new Map(view.nodes.map((node) => [node.private_ip, node.instance_id]));
  const peers = answering(view).flatMap(({ status }) => status.raft?.peers ?? []);
  const dead = [...new Set(peers.filter((peer) => !peer.alive || !addresses.has(peer.address)).map((p) => p.address))];
  if (dead.length === 0) return [];
  return [
    warning(
      "dead-raft-peer",
      dead.flatMap((address) => addresses.get(address) ?? []),
      `Orchestrator counts ${list(dead)} as a raft peer; it is dead or no node of this cluster.`,
      "It counts for the majority and cannot vote: fewer failures than expected stop automatic recovery. The reconciler removes peers whose instance is gone; when it stays so, remove it with /api/raft-remove-peer on any node.",
    ),
  ];
};

/** No backup, or newer ones that cannot be used. */
export const backups: Finder = ({ snapshot: { record, backup } }) => {
  if (record?.phase !== "serving") return [];
  const notes = backup.unreadable.length > 0 ? ` ${backup.unreadable.join(" ")}` : "";
  if (backup.manifest === undefined) {
    return [
      critical(
        "no-backup",
        [],
        `There is no complete backup of this cluster's data.${notes}`,
        "The cluster cannot be restored, and a replacement node cannot join. Take a full backup now.",
      ),
    ];
  }
  if (notes === "") return [];
  return [
    warning(
      "no-backup",
      [],
      `The newest usable backup is of ${backup.manifest.time}; newer ones cannot be used.${notes}`,
      "A restore would go back further than expected. Take a full backup, then look at the named objects.",
    ),
  ];
};
