import type { OperationKind, OperationPlan, OperationRecord } from "#contract/operation.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { Grant } from "../coordination/lease.ts";
import type { Step } from "./step.ts";

/** What a kind of operation brings to the runner. */
export interface OperationDefinition<C> {
  readonly kind: OperationKind;
  /** Looks at the cluster and says what would be done. Changes nothing. */
  plan(input: Readonly<Record<string, unknown>>, operationId: string): Promise<OperationPlan>;
  /** What was asked for, with what the approved plan chose: only that is looked at again, and not who would be chosen now. */
  asApproved(input: Readonly<Record<string, unknown>>, approved: OperationPlan): Readonly<Record<string, unknown>>;
  /** What the steps act on. `grant` is the operation lock. */
  begin(record: OperationRecord, plan: OperationPlan, topology: TopologyRecord, grant: Grant): Promise<C>;
  steps(context: C): readonly Step<C>[];
  /** Whether the topology record says that the point of no return was passed under this operation. */
  isPast(operationId: string, plan: OperationPlan, topology: TopologyRecord): boolean;
  /** Reads the end state back from everything it touched. Error: `verification-failed`. */
  result(context: C): Promise<Readonly<Record<string, unknown>>>;
  /** Frees what `begin` took, whatever happened. */
  end(context: C): Promise<void>;
}
