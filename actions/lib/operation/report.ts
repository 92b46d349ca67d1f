import { markdownCode, markdownTable, markdownText, shortened } from "#actions/lib/text.ts";
import { Failure } from "#contract/failure-reasons.ts";
import type { OperationRecord, OperationState } from "#contract/operation.ts";
import { attachStep, type OperationName } from "./attach.ts";
import { stepSign, tookText } from "./progress.ts";

/** The light of a state. */
export const stateLight: Readonly<Record<OperationState, string>> = {
  created: "🔵",
  running: "🔵",
  succeeded: "🟢",
  failed: "🔴",
  undone: "🟡",
  superseded: "🟡",
  aborted: "🟡",
};

/** What a state means, one sentence. */
export const stateMeaning: Readonly<Record<OperationState, string>> = {
  created: "It is recorded, and no node has begun it yet.",
  running: "A node runs it.",
  succeeded: "The end state was read back and is the one that was asked for.",
  failed:
    "It failed after its point of no return, or could not be undone; the agents go on repairing towards the topology record.",
  undone: "It failed before its point of no return, and what it had done was undone.",
  superseded: "Another primary was recorded under a higher fence meanwhile; it changed nothing after that.",
  aborted: "A person asked it to end before its point of no return; what it had done was undone.",
};

/** Each step, its state and its time. */
export const stepsTable = ({ steps }: OperationRecord): string =>
  steps.length === 0
    ? ""
    : markdownTable(
        ["", "Step", "What it does", "Time", "Detail"],
        steps.map((step) => [
          stepSign[step.state],
          markdownCode(step.name),
          markdownText(step.description),
          step.duration_ms === undefined ? step.state : tookText(step.duration_ms),
          markdownText(shortened(step.detail ?? "", 300)),
        ]),
      );

/** Who asked for an operation, which node runs it, and when what happened. */
export const recordTable = (record: OperationRecord): string =>
  markdownTable(
    ["Operation", ""],
    [
      ["Id", markdownCode(record.operation_id)],
      ["Kind", record.kind],
      ["State", `${stateLight[record.state]} ${record.state}: ${stateMeaning[record.state]}`],
      ["Asked for by", markdownText(record.started_by)],
      ["Runs on", record.node === undefined ? "no node yet" : markdownCode(record.node)],
      ["Created", `${record.created_at}, attempt ${record.attempt}`],
      ...(record.heartbeat_at === undefined ? [] : [["Last heartbeat", record.heartbeat_at]]),
      ...(record.abort_requested_at === undefined
        ? []
        : [
            [
              "End asked for",
              markdownText(`${record.abort_requested_at} by ${record.abort_requested_by ?? "somebody"}`),
            ],
          ]),
      ...(record.ended_at === undefined ? [] : [["Ended", record.ended_at]]),
      ...(record.failure_reason === undefined ? [] : [["Failure reason", markdownCode(record.failure_reason)]]),
    ],
  );

/** A paragraph on an operation that goes on without this run. */
export const goesOnSummary = (name: OperationName, because: string): string =>
  [
    `## 🔵 ${markdownCode(name.operationId)} goes on`,
    "",
    markdownText(because),
    "",
    `The operation runs on the cluster's nodes and does not need this run. To watch it, run this job again, or this step:`,
    "",
    "```yaml",
    ...attachStep(name),
    "```",
    "",
  ].join("\n");

/** An ended operation's failure as a paragraph of the summary. */
export const failureParagraph = ({ reason, message, changed, next }: Failure): string =>
  `**${reason}**: ${markdownText([message, changed, next].filter((text) => text !== "").join(" "))}`;

/** The failure that an ended operation is; undefined when it succeeded. */
export function failureOfEnded(record: OperationRecord): Failure | undefined {
  if (record.state === "succeeded") return undefined;
  const unnamed =
    record.state === "superseded" ? "superseded" : record.state === "aborted" ? "interrupted" : "internal";
  return new Failure(record.failure_reason ?? unnamed, {
    message: record.failure_message ?? `The operation ${record.operation_id} ended as ${record.state}.`,
    // The record's message says what was changed and what to do.
    ...(record.failure_message === undefined ? { changed: stateMeaning[record.state] } : { changed: "", next: "" }),
  });
}
