import { forPeople } from "#actions/lib/duration.ts";
import type { OperationRecord, OperationStep } from "#contract/operation.ts";

/** The sign of a step's state. */
export const stepSign: Readonly<Record<OperationStep["state"], string>> = {
  pending: "·",
  running: "▶",
  done: "✔",
  failed: "✘",
  undone: "↩",
  skipped: "–",
};

/** Lines of the log for what is new in a record: one for each change. */
export function progressLines(before: OperationRecord | undefined, after: OperationRecord): string[] {
  const lines: string[] = [];
  if (before === undefined || before.attempt !== after.attempt) {
    const attempt = after.attempt > 1 ? `, attempt ${after.attempt}` : "";
    lines.push(`${after.operation_id}: ${after.kind}${attempt}, asked for by ${after.started_by}`);
  }
  if (before !== undefined && before.node !== after.node && after.node !== undefined) {
    lines.push(`${after.operation_id}: ${after.node} runs it now`);
  }
  const known =
    before?.attempt === after.attempt ? new Map(before.steps.map((step) => [step.name, step.state])) : undefined;
  for (const step of after.steps) {
    if (step.state !== (known?.get(step.name) ?? "pending")) lines.push(`  ${stepLine(step)}`);
  }
  if (after.abort_requested_at !== undefined && before?.abort_requested_at === undefined) {
    lines.push(`${after.operation_id}: its end was asked for by ${after.abort_requested_by ?? "somebody"}`);
  }
  if (before?.state !== after.state) lines.push(`${after.operation_id}: ${stateText(after)}`);
  return lines;
}

const stepLine = ({ name, description, state, duration_ms, detail }: OperationStep): string =>
  [
    `${stepSign[state]} ${name}`,
    ...(state === "running" ? [description] : [state]),
    ...(duration_ms === undefined ? [] : [tookText(duration_ms)]),
    ...(detail === undefined ? [] : [detail]),
  ].join(", ");

const stateText = ({ state, node, failure_reason }: OperationRecord): string => {
  if (state === "created") return `created, ${node ?? "a node"} is to run it`;
  if (state === "running") return `running on ${node ?? "a node"}`;
  return failure_reason === undefined ? `ended, ${state}` : `ended, ${state}: ${failure_reason}`;
};

/** A line that says that nothing new has happened for some time. */
export function heartbeatLine(record: OperationRecord, watchedMs: number): string {
  const step = record.steps.find(({ state }) => state === "running");
  return `${record.operation_id}: ${record.state}${step ? `, in step ${step.name}` : ""}; watched for ${forPeople(watchedMs)}`;
}

/** A short time for people: `12 ms`, `1.3 s`, `4 min`. */
export const tookText = (milliseconds: number): string => {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  return milliseconds < 60_000 ? `${(milliseconds / 1000).toFixed(1)} s` : forPeople(milliseconds);
};
