import { randomUUID } from "node:crypto";
import { makeNonces } from "./lib/agent/nonces.ts";
import { runAgent } from "./lib/agent/run-agent.ts";
import { emptyState } from "./lib/agent/state.ts";
import { readNodeConfig } from "./lib/host/config.ts";
import { makeLog } from "./lib/host/log.ts";
import { runMain } from "./lib/host/main.ts";
import { version } from "./lib/host/version.ts";
import { monotonicMs } from "./lib/host/wait.ts";
import { wireNode } from "./lib/wiring.ts";

const log = makeLog("agent");

runMain(log, async (signal) => {
  const config = await readNodeConfig();
  const node = await wireNode(config, log);
  const { identity } = node;
  await runAgent(
    {
      ...node,
      state: emptyState(),
      election: node.lock("election", "opening the recorded primary"),
      mysql: node.mysqlServer(),
      mysqlForWrites: node.mysqlServer(),
      signal,
    },
    {
      clusterId: config.cluster_id,
      instanceId: identity.instanceId,
      privateIp: identity.privateIp,
      availabilityZone: identity.availabilityZone,
      version,
      maxLagSeconds: config.max_replica_lag_seconds,
    },
    node.data,
    makeNonces({ now: monotonicMs, random: randomUUID, lifeMs: 10_000, limit: 1000 }),
  );
});
