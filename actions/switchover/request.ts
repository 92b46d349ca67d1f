import * as v from "valibot";
import { Region } from "#actions/lib/aws/clients.ts";
import { Duration } from "#actions/lib/duration.ts";
import { type Inputs, readInputs } from "#actions/lib/inputs.ts";
import type { Runner } from "#actions/lib/runner.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { ClusterId, InstanceId } from "#contract/names.ts";
import { OperationId, SwitchoverInput } from "#contract/operation.ts";

const PlanHash = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{64}$/, "a plan hash is 64 hexadecimal digits, as the output `plan-hash` gives it"),
);

const inputSchemas = {
  "cluster-id": ClusterId,
  mode: v.optional(v.picklist(["plan", "apply"]), "plan"),
  target: v.optional(InstanceId),
  "expected-primary": v.optional(InstanceId),
  "expected-plan-hash": v.optional(PlanHash),
  "max-lag": v.optional(Duration("0s", "1h"), "10s"),
  "max-transaction-age": v.optional(Duration("0s", "24h"), "1m"),
  timeout: v.optional(Duration("5s", "1h"), "1m"),
  "operation-id": v.optional(OperationId),
  force: v.optional(v.literal("accept-loss", "it is accept-loss, or not set")),
  "confirm-cluster-id": v.optional(ClusterId),
  "aws-region": v.optional(Region),
};

/** What the person asked for. */
export interface SwitchoverRequest {
  readonly clusterId: string;
  readonly mode: "plan" | "apply";
  readonly input: SwitchoverInput;
  /** As given; made from the workflow run otherwise. */
  readonly operationId: string | undefined;
  readonly region: string | undefined;
  /** The `with:` lines that apply the plan of this request, without its hash. */
  readonly withLines: readonly string[];
}

/**
 * Reads and checks the inputs.
 *
 * @throws Failure `bad-input`, naming every input that is wrong.
 */
export function readRequest(runner: Pick<Runner, "input">): SwitchoverRequest {
  const inputs = readInputs(runner, inputSchemas);
  checkConfirmation(inputs);
  return {
    clusterId: inputs["cluster-id"],
    mode: inputs.mode,
    input: v.parse(SwitchoverInput, {
      target: inputs.target,
      expected_primary: inputs["expected-primary"],
      expected_plan_hash: inputs["expected-plan-hash"],
      max_lag_seconds: inputs["max-lag"] / 1000,
      max_transaction_age_seconds: inputs["max-transaction-age"] / 1000,
      timeout_seconds: inputs.timeout / 1000,
      force: inputs.force,
    }),
    operationId: inputs["operation-id"],
    region: inputs["aws-region"],
    withLines: withLines(runner),
  };
}

function checkConfirmation({
  force,
  "cluster-id": clusterId,
  "confirm-cluster-id": confirmed,
}: Inputs<typeof inputSchemas>): void {
  if (confirmed === clusterId || (confirmed === undefined && force === undefined)) return;
  throw new Failure("bad-input", {
    message: `Input "confirm-cluster-id" is ${confirmed === undefined ? "not set" : `"${confirmed}"`}: with "force" it must be the cluster id, ${clusterId}, written a second time, because acknowledged transactions may be lost.`,
  });
}

/** The inputs as they were given: so the plan that they make has the same hash. */
function withLines(runner: Pick<Runner, "input">): string[] {
  const given = Object.keys(inputSchemas)
    .filter((name) => !["mode", "expected-plan-hash", "operation-id"].includes(name))
    .map((name) => [name, runner.input(name)] as const)
    .filter(([, text]) => text !== "");
  return ["mode: apply", ...given.map(([name, text]) => `${name}: ${text}`)];
}

/** The document's parameters that ask for the plan. */
export const planParameters = ({ input }: SwitchoverRequest): Record<string, string> => ({
  Mode: "plan",
  Target: input.target ?? "-",
  ExpectedPrimary: input.expected_primary ?? "-",
  MaxLagSeconds: String(input.max_lag_seconds),
  MaxTransactionAgeSeconds: String(input.max_transaction_age_seconds),
  TimeoutSeconds: String(input.timeout_seconds),
  Force: input.force ?? "-",
});
