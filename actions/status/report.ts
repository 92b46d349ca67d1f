import { forPeople } from "#actions/lib/duration.ts";
import { markdownCode, markdownTable, markdownText, shortened } from "#actions/lib/text.ts";
import type { ClusterStatus, StatusNode } from "#contract/cluster-status.ts";
import { count as countGtids } from "#contract/gtid.ts";
import { ports } from "#contract/ports.ts";

const light: Record<ClusterStatus["verdict"], string> = {
  healthy: "🟢",
  forming: "🔵",
  degraded: "🟡",
  critical: "🔴",
};

const says: Record<ClusterStatus["verdict"], string> = {
  healthy: "Nothing to do.",
  forming: "The cluster is coming up; no clients are served yet.",
  degraded: "It works; something should be looked at.",
  critical: "A person is needed.",
};

/** From best to worst. */
const order: readonly ClusterStatus["verdict"][] = ["healthy", "forming", "degraded", "critical"];

/** The worst verdict of several clusters. */
export const worstVerdict = (statuses: readonly ClusterStatus[]): ClusterStatus["verdict"] =>
  order[Math.max(0, ...statuses.map(({ verdict }) => order.indexOf(verdict)))] ?? "healthy";

/** The job summary: verdicts first, then what is wrong and what to do, then the details. */
export function summaryOf(statuses: readonly ClusterStatus[]): string {
  const overview = statuses.length > 1 ? [overviewTable(statuses)] : [];
  return [...overview, ...statuses.map(clusterSection)].join("\n\n").concat("\n");
}

const overviewTable = (statuses: readonly ClusterStatus[]): string =>
  markdownTable(
    ["Cluster", "Verdict", "Primary", "Findings"],
    statuses.map((status) => [
      markdownCode(status.cluster_id),
      verdictText(status),
      status.primary_instance_id ? markdownCode(status.primary_instance_id) : "none",
      String(status.disagreements.length),
    ]),
  );

const verdictText = ({ verdict }: ClusterStatus): string => `${light[verdict]} ${verdict}`;

function clusterSection(status: ClusterStatus): string {
  return [
    `## ${light[status.verdict]} ${markdownCode(status.cluster_id)} is ${status.verdict}`,
    `**${says[status.verdict]}** ${overviewSentence(status)}`,
    findingsTable(status),
    problemsList(status),
    nodesTable(status),
    picture(status),
    positions(status),
  ]
    .filter((section) => section !== "")
    .join("\n\n");
}

function overviewSentence(status: ClusterStatus): string {
  const primary = status.nodes.find((node) => node.role === "primary");
  const where = primary ? ` at ${markdownText(`${primary.private_ip} in ${primary.availability_zone}`)}` : "";
  const recorded = status.primary_instance_id
    ? `Primary: ${markdownCode(status.primary_instance_id)}${where}, fence ${status.fence}, timeline ${status.timeline}.`
    : "Primary: none is recorded.";
  return `${recorded} Operation under way: ${markdownText(status.current_operation)}. ${backupSentence(status)} Read at ${status.observed_at}.`;
}

function backupSentence({ last_backup: backup, observed_at }: ClusterStatus): string {
  if (backup === undefined) return "Last backup: none.";
  const age = forPeople(Date.parse(observed_at) - Date.parse(backup.finished_at));
  return `Last backup: ${backup.kind}, ${markdownText(backup.time)}, ended ${age} ago, ${bytesForPeople(backup.bytes)}.`;
}

function findingsTable({ disagreements }: ClusterStatus): string {
  if (disagreements.length === 0) return "";
  return markdownTable(
    ["", "What", "Seen", "What it means, and what to do"],
    disagreements.map((each) => [
      each.severity === "critical" ? "🔴" : "🟡",
      markdownCode(each.kind),
      markdownText(each.seen),
      markdownText(each.meaning),
    ]),
  );
}

function problemsList({ nodes }: ClusterStatus): string {
  const lines = nodes.flatMap((node) =>
    node.problems.map((problem) => `- ${markdownCode(node.instance_id)}: ${markdownText(shortened(problem, 500))}`),
  );
  return lines.length === 0
    ? ""
    : ["What the nodes say keeps them from where they should be:", "", ...lines].join("\n");
}

function nodesTable({ nodes }: ClusterStatus): string {
  if (nodes.length === 0) return "There is no instance of this cluster.";
  return markdownTable(
    ["Node", "Role", "Address", "Zone", "Group", "Version", "Writable", "Lag", "Write group", "Read group", "Acker"],
    nodes.map((node) => [
      markdownCode(node.instance_id),
      node.role === "primary" ? "**primary**" : node.role,
      markdownText(node.private_ip),
      markdownText(node.availability_zone),
      markdownText(node.lifecycle_state),
      markdownText(node.version ?? "?"),
      node.writable === undefined ? "?" : node.writable ? "yes" : "no",
      lagText(node),
      node.write_target,
      node.read_target,
      node.role === "primary" ? "–" : node.acker ? "yes" : "no",
    ]),
  );
}

const lagText = (node: StatusNode): string => {
  if (node.role === "primary") return "–";
  return node.lag_seconds === undefined ? "?" : `${node.lag_seconds} s`;
};

/** Decoration: it says nothing that the tables do not say. */
function picture(status: ClusterStatus): string {
  if (status.nodes.length === 0) return "";
  const name = new Map(status.nodes.map((node, index) => [node.instance_id, `n${index}`]));
  const lines = [
    "flowchart LR",
    `  write(["writes, ${ports.balancerWrite}"])`,
    `  read(["reads, ${ports.balancerRead}"])`,
  ];
  for (const node of status.nodes) {
    const id = name.get(node.instance_id);
    const state = node.reachable ? (node.writable === true ? "writable" : "read-only") : "no answer";
    lines.push(`  ${id}["${[node.role, node.instance_id, node.private_ip, state].map(mermaidText).join("<br>")}"]`);
    if (node.write_target === "in") lines.push(`  write --> ${id}`);
    if (node.read_target === "in") lines.push(`  read --> ${id}`);
  }
  const primary = name.get(status.primary_instance_id ?? "");
  const broken = new Set(
    status.disagreements.filter(({ kind }) => kind === "replication-broken").flatMap((each) => each.instance_ids),
  );
  for (const node of status.nodes) {
    if (primary === undefined || node.role !== "replica") continue;
    const ok = node.reachable && node.lag_seconds !== undefined && !broken.has(node.instance_id);
    lines.push(
      `  ${primary} ${ok ? "==>" : "-.->"}|${mermaidText(ok ? `${node.lag_seconds} s` : "?")}| ${name.get(node.instance_id)}`,
    );
  }
  return ["<details><summary>Picture</summary>", "", "```mermaid", ...lines, "```", "", "</details>"].join("\n");
}

const mermaidText = (text: string): string => text.replace(/[^A-Za-z0-9 .?-]/g, " ");

function positions({ nodes }: ClusterStatus): string {
  const known = nodes.filter((node) => node.gtid_executed !== undefined);
  if (known.length === 0) return "";
  return [
    "<details><summary>GTID positions</summary>",
    "",
    markdownTable(
      ["Node", "Transactions", "Executed"],
      known.map((node) => [
        markdownCode(node.instance_id),
        String(countGtids(node.gtid_executed ?? "")),
        markdownCode(shortened(node.gtid_executed || "empty", 1000)),
      ]),
    ),
    "",
    "</details>",
  ].join("\n");
}

/** The log: what the summary says, for a terminal. */
export function logLines(status: ClusterStatus): string[] {
  return [
    `${light[status.verdict]} ${status.cluster_id} is ${status.verdict}. ${says[status.verdict]}`,
    `   primary ${status.primary_instance_id ?? "none"}, fence ${status.fence ?? "-"}, timeline ${status.timeline ?? "-"}, operation ${status.current_operation}, last backup ${status.last_backup?.time ?? "none"}`,
    ...status.nodes.map(nodeLine),
    ...status.disagreements.flatMap((each) => [
      `   ${each.severity === "critical" ? "🔴" : "🟡"} ${each.kind}: ${each.seen}`,
      `      ${each.meaning}`,
    ]),
  ];
}

const nodeLine = (node: StatusNode): string =>
  [
    `   ${node.instance_id}`,
    node.role.padEnd(7),
    node.private_ip.padEnd(15),
    node.availability_zone,
    node.version ?? "?",
    node.writable === undefined ? "writable?" : node.writable ? "writable" : "read-only",
    `lag ${lagText(node)}`,
    `write ${node.write_target}`,
    `read ${node.read_target}`,
    ...(node.acker ? ["acker"] : []),
    ...node.problems.map((problem) => `- ${shortened(problem, 200)}`),
  ].join("  ");

const bytesForPeople = (bytes: number): string => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
};
