import type { Overview } from "./overview.ts";

/** A table of text: columns as wide as their widest cell, two spaces between them. */
export function textTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(...[header, ...rows].map((row) => (row[column] ?? "").length), title.length),
  );
  return [header, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** A size in bytes for people. */
export function sizeText(bytes: number): string {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

/** The overview for a terminal. */
export function overviewText(overview: Overview): string {
  const { record, lastBackup, missing } = overview;
  const verdict = missing.length === 0 ? "healthy" : "not healthy";
  const acks = record === null ? "" : `${record.waitCount} of ${record.ackers.join(", ") || "nobody"}`;
  const lines = [
    `lab ${overview.lab}, cluster ${overview.clusterId}: ${verdict}`,
    record === null
      ? "record: none yet"
      : `record: ${record.phase}, primary ${record.primary}, fence ${record.fence}, timeline ${record.timeline}, acknowledged by ${acks}${record.degraded ? ", DEGRADED" : ""}`,
    lastBackup === null
      ? "last backup: none"
      : `last backup: ${lastBackup.kind} ${lastBackup.time}, ${sizeText(lastBackup.bytes)}`,
  ];
  const rows = overview.nodes.map((node) => [
    node.name,
    node.instanceId,
    node.address,
    node.zone,
    node.machine,
    node.lifecycle,
    node.role,
    node.mysql,
    node.lagSeconds === null ? "" : `${node.lagSeconds} s`,
    node.writeTarget,
    node.readTarget,
    node.agent,
  ]);
  const header = [
    "NODE",
    "INSTANCE",
    "ADDRESS",
    "ZONE",
    "MACHINE",
    "GROUP",
    "ROLE",
    "MYSQL",
    "LAG",
    "WRITE",
    "READ",
    "AGENT",
  ];
  const problems = overview.nodes.flatMap(({ name, problems: texts }) => texts.map((problem) => `${name}: ${problem}`));
  const list = (title: string, items: readonly string[]): string =>
    items.length === 0 ? "" : `${title}:\n${items.map((item) => `  - ${item}\n`).join("")}`;
  return `${lines.join("\n")}\n\n${textTable(header, rows)}${list("\nmissing", missing)}${list("\nproblems", problems)}`;
}
