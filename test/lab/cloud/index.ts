export { startCloud } from "./cloud.ts";
export type { Fault, FaultApi } from "./faults.ts";
export { createLifecycleFunction } from "./functions.ts";
export { type ClusterResources, createCluster, type Routing } from "./quick-start.ts";
export type {
  AccessKeys,
  Closable,
  Cloud,
  CloudInstance,
  CloudOptions,
  NodeCommand,
  NodeCommandResult,
  NodeHost,
} from "./types.ts";
