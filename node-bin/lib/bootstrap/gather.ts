import type { BootstrapView } from "../cluster/bootstrap-decision.ts";
import type { BootstrapContext } from "./context.ts";

/** Looks at everything that the next decision depends on. Nothing is changed. */
export const gatherView = async (context: BootstrapContext): Promise<BootstrapView> => {
  const { catalog, config, data, flags, identity, primaryLease, topology } = context;
  const record = await topology.read();
  const lease = await primaryLease.observe();
  return {
    me: identity.instanceId,
    clusterId: config.cluster_id,
    record,
    // A lease that nobody holds has to stay so for a whole lease: its holder may be about to take it.
    primaryLease: lease.unchangedMs >= lease.leaseMs ? "stale" : lease.state === "held" ? "live" : "watching",
    data: await data.look(),
    backup: record ? await catalog.newestFull({ formation: record.formation }) : undefined,
    anyHistory: record ? true : await catalog.clusterHasData(),
    flags,
  };
};
