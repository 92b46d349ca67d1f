import { Failure } from "#contract/failure-reasons.ts";

/** Which operation. */
export interface OperationName {
  readonly clusterId: string;
  readonly operationId: string;
}

/** The lines of a step that attaches to an operation. */
export const attachStep = ({ clusterId, operationId }: OperationName): string[] => [
  "uses: infrahouse/percona-actions/operation@v1",
  "with:",
  `  cluster-id: ${clusterId}`,
  `  operation-id: ${operationId}`,
  "  mode: attach",
];

/** How to attach, in one sentence. */
export const howToAttach = ({ clusterId, operationId }: OperationName): string =>
  `To watch it, run this job again, or the action infrahouse/percona-actions/operation with cluster-id ${clusterId}, operation-id ${operationId} and mode attach.`;

/** The same failure, saying that only the watching has ended. */
export const goesOn = ({ reason, message, cause }: Failure, name: OperationName): Failure =>
  new Failure(reason, {
    message,
    changed: `The operation ${name.operationId} goes on without this run; what it has changed is in its record.`,
    next: howToAttach(name),
    cause,
  });
