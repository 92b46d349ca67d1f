export { startCloud } from "./cloud.ts";
export type { Fault, FaultApi, FaultEffect, FaultMatch } from "./faults.ts";
export { type ClusterOptions, type ClusterResources, createCluster, type TargetChoice } from "./quick-start.ts";
export type {
  AccessKeys,
  Closable,
  Cloud,
  CloudInstance,
  CloudOptions,
  EmulatorPrograms,
  MetadataApi,
  NodeCommand,
  NodeCommandResult,
  NodeHost,
} from "./types.ts";
