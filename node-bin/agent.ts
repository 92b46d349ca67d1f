import { randomUUID } from "node:crypto";
import { dirname, join } from "node:path";
import type { AgentContext } from "./lib/agent/context.ts";
import { makeNonces } from "./lib/agent/nonces.ts";
import { observeMysql } from "./lib/agent/observe.ts";
import { runAgent } from "./lib/agent/run-agent.ts";
import { emptyState } from "./lib/agent/state.ts";
import { makeWaker } from "./lib/agent/waker.ts";
import { makeForwarder } from "./lib/forwarder/forwarder.ts";
import { readNodeConfig } from "./lib/host/config.ts";
import { makeLog } from "./lib/host/log.ts";
import { runMain } from "./lib/host/main.ts";
import { inTurn } from "./lib/host/turn.ts";
import { version } from "./lib/host/version.ts";
import { monotonicMs } from "./lib/host/wait.ts";
import { faultInjection } from "./lib/operation/fault.ts";
import { startDetached } from "./lib/operation/start.ts";
import { wireNode, wireSwitchover } from "./lib/wiring.ts";

const log = makeLog("agent");

runMain(log, async (signal) => {
  const config = await readNodeConfig();
  const node = await wireNode(config, log);
  const { identity } = node;
  const waker = makeWaker();
  // A primary whose mysqld dies is noticed by the end of a session, not at the next look.
  const lost = (): void => void observeMysql(context).then(waker.wake, () => {});
  const context: AgentContext = {
    ...node,
    state: emptyState(),
    election: node.lock("election", `election by ${identity.instanceId}`),
    operationLock: node.lock("operation", "nothing: the agent only looks"),
    mysql: node.mysqlServer({ onLost: lost }),
    mysqlForWrites: node.mysqlServer(),
    logIn: node.logIn,
    turn: inTurn(),
    waker,
    forwarder: config.forwarder === undefined ? undefined : makeForwarder(config.forwarder),
    stopAt: faultInjection(process.env),
    planSwitchover: (operationId) => wireSwitchover(node, log).plan({}, operationId),
    startOperation: async (operationId) => {
      const script = join(dirname(process.argv[1] ?? ""), "operation.mjs");
      await startDetached(node.run, operationId, [process.execPath, script, "run", operationId], process.env);
    },
    signal,
  };
  await runAgent(
    context,
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
