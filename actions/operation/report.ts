import { forPeople } from "#actions/lib/duration.ts";
import { attachStep } from "#actions/lib/operation/attach.ts";
import {
  failureOfEnded,
  failureParagraph,
  recordTable,
  stateLight,
  stateMeaning,
  stepsTable,
} from "#actions/lib/operation/report.ts";
import { markdownCode, markdownTable, markdownText, shortened } from "#actions/lib/text.ts";
import { isLive, type OperationRecord } from "#contract/operation.ts";
import type { SeenLock, View } from "./flow.ts";

/** What is shown before anything is changed, and at the end. `now` is the wall clock, for people only. */
export const summaryOf = ({ clusterId, operations, locks, topology }: View, now: Date): string =>
  [
    `## ${verdict(clusterId, operations)}`,
    ...operations.flatMap((record) => operationSections(record, now)),
    topology === undefined
      ? "No primary is recorded."
      : `The recorded primary is ${markdownCode(topology.instance_id)} at ${markdownText(topology.private_ip)}, fence ${topology.fence}, timeline ${topology.timeline}.`,
    locksTable(locks),
  ]
    .filter((section) => section !== "")
    .join("\n\n")
    .concat("\n");

function verdict(clusterId: string, operations: readonly OperationRecord[]): string {
  const cluster = markdownCode(clusterId);
  const [first, ...more] = operations;
  if (first === undefined) return `🟢 ${cluster}: no operation is under way`;
  if (more.length > 0) return `🔵 ${cluster}: ${operations.length} operations are under way`;
  const { operation_id, kind, state } = first;
  const says = isLive(first) ? `is under way: ${state}` : `has ended: ${state}`;
  return `${stateLight[state]} ${cluster}: ${kind} ${markdownCode(operation_id)} ${says}`;
}

function operationSections(record: OperationRecord, now: Date): string[] {
  const failure = isLive(record) ? undefined : failureOfEnded(record);
  return [
    failure === undefined ? stateMeaning[record.state] : `${failureParagraph(failure)} ${stateMeaning[record.state]}`,
    isLive(record) ? heartbeatSentence(record, now) : "",
    recordTable(record),
    stepsTable(record),
    resultList(record),
    isLive(record)
      ? ["```yaml", ...attachStep({ clusterId: record.cluster_id, operationId: record.operation_id }), "```"].join("\n")
      : "",
  ];
}

/** Clocks of nodes and runner differ, so that the age is for people and decides nothing. */
const heartbeatSentence = (record: OperationRecord, now: Date): string =>
  record.heartbeat_at === undefined
    ? "It has had no heartbeat yet."
    : `Its last heartbeat was ${forPeople(now.getTime() - Date.parse(record.heartbeat_at))} ago.`;

function resultList({ result }: OperationRecord): string {
  if (result === undefined) return "";
  const text = JSON.stringify(result, undefined, 2);
  return ["<details><summary>Result</summary>", "", markdownCode(shortened(text, 4000)), "", "</details>"].join("\n");
}

const locksTable = (locks: readonly SeenLock[]): string =>
  markdownTable(
    ["Lock", "Held by", "What for", "Since", "Fence"],
    locks.map(({ name, item, renewed }) => [
      name,
      item?.owner === undefined ? "nobody" : `${markdownCode(item.owner)}${renewed === false ? " (not renewed)" : ""}`,
      markdownText(item?.owner === undefined ? "" : (item.purpose ?? "")),
      item?.owner === undefined ? "" : markdownText(item.acquired_at ?? "?"),
      item === undefined ? "–" : String(item.fence),
    ]),
  );

/** The same for the log, before anything is changed. */
export const logLines = ({ clusterId, operations, locks }: View, now: Date): string[] => [
  ...(operations.length === 0 ? [`${clusterId}: no operation is under way`] : []),
  ...operations.map(
    (record) =>
      `${record.operation_id}: ${record.kind}, ${record.state}, asked for by ${record.started_by} at ${record.created_at}, on ${record.node ?? "no node"}${isLive(record) ? `. ${heartbeatSentence(record, now)}` : ""}`,
  ),
  ...locks.map(({ name, item, renewed }) =>
    item?.owner === undefined
      ? `lock ${name}: held by nobody`
      : `lock ${name}: held by ${item.owner} since ${item.acquired_at ?? "?"} for ${item.purpose ?? "?"}, fence ${item.fence}${renewed === false ? ", and not renewed: its holder may be dead" : ""}`,
  ),
];
