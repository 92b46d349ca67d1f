import { namePrefix } from "./names.ts";

/** Operations that have an SSM document of their own; each is `terraform/documents/{operation}.json`. */
export const documentOperations = ["status", "switchover", "operation"] as const;
export type DocumentOperation = (typeof documentOperations)[number];

/** The SSM document for one operation on one cluster. */
export const documentName = (clusterId: string, operation: DocumentOperation): string =>
  `${namePrefix(clusterId)}-${operation}`;

/** GetCommandInvocation returns at most this many characters of standard output (AWS API reference). */
export const maxCommandOutput = 24_000;

/** Parameters reach scripts as environment variables with this prefix (`interpolationType: ENV_VAR`). */
export const parameterVariable = (parameter: string): string => `SSM_${parameter}`;
