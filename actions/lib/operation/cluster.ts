import type { SeenInstance } from "#actions/lib/aws/instances.ts";
import { tableName } from "#contract/names.ts";
import { roleTagValue, tags } from "#contract/tags.ts";

/** The cluster's table: what its nodes' tags say, otherwise what it is called by convention. */
export const tableOf = (instances: readonly SeenInstance[], clusterId: string): string =>
  instances.map((instance) => instance.tags[tags.dynamodbTable]).find((name) => name) ?? tableName(clusterId);

/**
 * In which order nodes are asked: those that run, `first` before all, then replicas in service, then those that do not say what
 * they are, and the primary last, because it has clients to serve.
 */
export function askOrder(instances: readonly SeenInstance[], first?: string): string[] {
  const rank = ({ instance_id, tags: of }: SeenInstance): number => {
    if (instance_id === first) return 0;
    if (of[tags.role] === roleTagValue.replica) return 1;
    return of[tags.role] === roleTagValue.primary ? 3 : 2;
  };
  return instances
    .filter(({ state }) => state === "running")
    .sort((a, b) => rank(a) - rank(b) || (a.instance_id < b.instance_id ? -1 : 1))
    .map(({ instance_id }) => instance_id);
}
