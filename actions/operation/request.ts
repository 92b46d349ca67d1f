import * as v from "valibot";
import { Region } from "#actions/lib/aws/clients.ts";
import { Duration } from "#actions/lib/duration.ts";
import { readInputs } from "#actions/lib/inputs.ts";
import type { Runner } from "#actions/lib/runner.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { ClusterId } from "#contract/names.ts";
import { OperationId } from "#contract/operation.ts";

const inputSchemas = {
  "cluster-id": ClusterId,
  "operation-id": v.optional(OperationId),
  mode: v.optional(v.picklist(["show", "attach", "abort"]), "show"),
  "aws-region": v.optional(Region),
  timeout: v.optional(Duration("10s", "6h"), "10m"),
};

/** What the person asked for. */
export interface OperationRequest {
  readonly clusterId: string;
  readonly mode: "show" | "attach" | "abort";
  /** With `show` it may be left out: then all that have not ended are shown. */
  readonly operationId: string | undefined;
  readonly region: string | undefined;
  readonly timeoutMs: number;
}

/**
 * Reads and checks the inputs.
 *
 * @throws Failure `bad-input`, naming every input that is wrong.
 */
export function readRequest(runner: Pick<Runner, "input">): OperationRequest {
  const inputs = readInputs(runner, inputSchemas);
  if (inputs["operation-id"] === undefined && inputs.mode !== "show") {
    throw new Failure("bad-input", {
      message: `Input "operation-id" is required with mode ${inputs.mode}. Mode show without it names the operations that have not ended.`,
    });
  }
  return {
    clusterId: inputs["cluster-id"],
    mode: inputs.mode,
    operationId: inputs["operation-id"],
    region: inputs["aws-region"],
    timeoutMs: inputs.timeout,
  };
}
