import type { BootstrapView } from "../cluster/bootstrap-decision.ts";
import type { BootstrapContext } from "./context.ts";

/** Looks at everything that the next decision depends on. Nothing is changed. */
export const gatherView = async (context: BootstrapContext): Promise<BootstrapView> => {
  const { catalog, config, data, flags, identity, primaryWatch, topology } = context;
  const record = await topology.read();
  return {
    me: identity.instanceId,
    clusterId: config.cluster_id,
    record,
    primaryLease: record ? await primaryWatch.look(record) : "watching",
    data: await data.look(),
    backup: record ? await catalog.newestFull({ formation: record.formation }) : undefined,
    anyHistory: record ? true : await catalog.clusterHasData(),
    flags,
  };
};
