import * as v from "valibot";
import { parameterVariable } from "#contract/documents.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { isLive, OperationId, type OperationPlan, type OperationRecord, SwitchoverInput } from "#contract/operation.ts";
import type { Journal } from "../coordination/journal.ts";

/** What the documents' commands act through. */
export interface OperationCommands {
  readonly journal: Journal;
  readonly plan: (input: Readonly<Record<string, unknown>>, operationId: string) => Promise<OperationPlan>;
  /** Has systemd run it; answers the unit. */
  readonly start: (operationId: string) => Promise<string>;
  readonly now: () => Date;
  readonly env: NodeJS.ProcessEnv;
}

const parameter = (env: NodeJS.ProcessEnv, name: string): string | undefined => {
  const value = env[parameterVariable(name)];
  return value === undefined || value === "" || value === "-" ? undefined : value;
};

const checked = <T>(schema: v.GenericSchema<unknown, T>, value: unknown, what: string): T => {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  throw new Failure("bad-input", {
    message: `${what}: ${parsed.issues.map((issue) => `${v.getDotPath(issue) ?? "value"}: ${issue.message}`).join("; ")}.`,
  });
};

const numberOf = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));

const present = (object: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));

const known = async (journal: Journal, operationId: string): Promise<OperationRecord> => {
  const record = await journal.read(operationId);
  if (record) return record;
  throw new Failure("unknown-operation", { message: `The table has no operation ${operationId}.` });
};

/** The `switchover` document: a plan, or the start of a recorded operation. */
export const switchoverCommand = async (commands: OperationCommands): Promise<unknown> => {
  const { env, journal } = commands;
  const id = parameter(env, "OperationId");
  if (parameter(env, "Mode") === "apply") {
    const operationId = checked(OperationId, id, "OperationId");
    const record = await known(journal, operationId);
    if (!isLive(record)) return { operation_id: operationId, state: record.state, unit: "" };
    return { operation_id: operationId, state: record.state, unit: await commands.start(operationId) };
  }
  const input = checked(
    SwitchoverInput,
    present({
      target: parameter(env, "Target"),
      expected_primary: parameter(env, "ExpectedPrimary"),
      max_lag_seconds: numberOf(parameter(env, "MaxLagSeconds")),
      max_transaction_age_seconds: numberOf(parameter(env, "MaxTransactionAgeSeconds")),
      timeout_seconds: numberOf(parameter(env, "TimeoutSeconds")),
      force: parameter(env, "Force"),
    }),
    "The switchover's parameters",
  );
  return commands.plan(input, id ?? "");
};

/** How often a request is written again because the runner wrote the record at the same moment. */
const tries = 20;

/** The `operation` document: asks a live operation to end, or takes over one whose runner died. */
export const byIdCommand = async (commands: OperationCommands): Promise<unknown> => {
  const { env, journal, now } = commands;
  const operationId = checked(OperationId, parameter(env, "OperationId"), "OperationId");
  const mode = checked(v.picklist(["abort", "resume"]), parameter(env, "Mode"), "Mode");
  let record = await known(journal, operationId);
  if (!isLive(record)) return record;
  if (mode === "abort") {
    for (let attempt = 1; record.abort_requested_at === undefined && isLive(record); attempt++) {
      const written = await journal.replace(record, {
        abort_requested_at: now().toISOString(),
        abort_requested_by: parameter(env, "RequestedBy") ?? "a person",
      });
      if (written.written) record = written.record;
      else if (written.current && attempt < tries) record = written.current;
      else
        throw new Failure("store-unavailable", { message: `The request to end ${operationId} could not be written.` });
    }
  }
  // One that nobody runs is ended by whoever takes its lock; one that is run keeps its lock.
  await commands.start(operationId);
  return record;
};
