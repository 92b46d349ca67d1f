import { roleTagValue, tags } from "#contract/tags.ts";
import { critical, type Finder, finding, isLeaving, list, primaryOf, warning } from "./view.ts";

/** Who accepts writes, against whom the record names. */
export const writableNodes: Finder = ({ snapshot, nodes }) => {
  const writable = nodes.filter((node) => node.writable === true).map((node) => node.instance_id);
  const { record } = snapshot;
  if (writable.length > 1) {
    return [
      critical(
        "two-writable-nodes",
        writable,
        `${list(writable)} accept writes; the record names ${record?.instance_id ?? "nobody"}.`,
        "Writes may go to two histories that cannot be merged. Stop mysqld on every writable node that the record does not name (stopping is safe: what it acknowledged stays on its disk), then compare the GTID sets before it rejoins.",
      ),
    ];
  }
  const [only] = writable;
  if (only === undefined || record === undefined || only === record.instance_id) return [];
  return [
    critical(
      "record-names-another-primary",
      [only, record.instance_id],
      `${only} accepts writes; the record names ${record.instance_id} since fence ${record.fence}.`,
      `The record is the authority: nodes, tags and target groups are repaired towards it. Do not write to ${only}; when its agent does not make it read-only by itself, stop mysqld there, then look at why its agent has not seen the record.`,
    ),
  ];
};

/** Nobody is recorded, or the recorded primary is gone. */
export const noPrimary: Finder = ({ snapshot, nodes }) => {
  const { record, backup } = snapshot;
  const writable = nodes.filter((node) => node.writable === true).map((node) => node.instance_id);
  if (record === undefined) {
    if (writable.length === 0 && backup.manifest === undefined) {
      return [
        warning(
          "no-primary",
          [],
          "There is no topology record and no backup yet.",
          "No node has won the election so far. Nodes elect one by themselves when they have booted; when it stays so, look at the log of percona-bootstrap on each node.",
        ),
      ];
    }
    const seen = [
      "There is no topology record",
      writable.length > 0 ? `, but ${list(writable)} accepts writes` : "",
      backup.manifest ? `, but there is a ${backup.manifest.kind} backup of ${backup.manifest.time}` : "",
    ].join("");
    return [
      critical(
        "no-primary",
        writable,
        `${seen}.`,
        "The coordination table was lost or replaced. No node will be promoted or initialised until the record is back: restore the table's item, or the cluster from its backup.",
      ),
    ];
  }
  if (nodes.some((node) => node.instance_id === record.instance_id) || writable.length > 0) return [];
  const id = record.instance_id;
  if (record.phase === "forming") {
    return [
      warning(
        "no-primary",
        [id],
        `The cluster is forming under ${id}, and that instance is gone.`,
        "Another node takes the formation over by itself when the lease of the first has run out.",
      ),
    ];
  }
  return [
    critical(
      "no-primary",
      [id],
      `The record names ${id}, that instance is gone, and no node accepts writes.`,
      "Clients cannot write. The replicas' agents promote one of them when enough recorded ackers are there; the status of each says what keeps it.",
    ),
  ];
};

/** The recorded primary answers, and clients cannot write to it. */
export const primaryNotWritable: Finder = (view) => {
  const { record, operations, operationLock } = view.snapshot;
  const primary = primaryOf(view);
  if (record?.phase !== "serving" || primary === undefined || !primary.seen.reading.answered) return [];
  if (view.nodes.some((node) => node.writable === true && node !== primary.node)) return [];
  const { status } = primary.seen.reading;
  if (primary.node.writable === true && status.serves_writes.ok) return [];
  const underOperation = operations.length > 0 || operationLock?.owner !== undefined;
  return [
    finding(
      underOperation ? "warning" : "critical",
      "primary-not-writable",
      [record.instance_id],
      `The primary ${record.instance_id} does not serve writes: ${status.serves_writes.because}.`,
      underOperation
        ? "An operation is under way, and may have closed it on purpose. When the operation has ended and it stays so, it is critical."
        : "Clients cannot write. Its agent opens it when the reason is gone; when its mysqld is dead, a replica is promoted. Look at the reason, then at the log of percona-agent on that node.",
    ),
  ];
};

/** The role tags, against the record. */
export const roleTags: Finder = (view) => {
  const { record } = view.snapshot;
  if (record === undefined) return [];
  return view.nodes.flatMap((node, index) => {
    const seen = view.snapshot.nodes[index];
    if (seen === undefined || isLeaving(seen)) return [];
    const follows = seen.reading.answered && seen.reading.status.serves_reads.ok;
    const role = node.role === "primary" ? roleTagValue.primary : follows ? roleTagValue.replica : undefined;
    const wanted = record.phase === "serving" ? role : undefined;
    const wrong = wanted === undefined ? node.role_tag === roleTagValue.primary : node.role_tag !== wanted;
    if (!wrong) return [];
    return [
      warning(
        "wrong-role-tag",
        [node.instance_id],
        `${node.instance_id} carries ${tags.role}=${node.role_tag ?? "(none)"}; expected ${wanted ?? "none, or replica"}.`,
        "Nothing of this project decides by the tag, but other tools may. The agent on that node repairs it within seconds; when it stays so, look at its permission ec2:CreateTags.",
      ),
    ];
  });
};
