import { agentPaths, type NodeStatus } from "#contract/agent-api.ts";
import { Failure } from "#contract/failure-reasons.ts";
import type { NodeConfig } from "#contract/node-config.ts";
import { backupThisNode } from "./lib/backup/backup-this-node.ts";
import { readNodeConfig } from "./lib/host/config.ts";
import { makeLog } from "./lib/host/log.ts";
import { runMain } from "./lib/host/main.ts";
import { version } from "./lib/host/version.ts";
import { wireNode } from "./lib/wiring.ts";

const usage = `Usage: operation COMMAND

What the SSM documents and timers call on a node. Standard output is one JSON object.

  status      what this node's agent answers at ${agentPaths.status}
  backup      take a full backup to S3, under the backup lock
  --help      this text
  --version   the version`;

const log = makeLog("operation");
const print = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

/** What can be said of a node whose agent does not answer. */
const withoutAgent = (
  config: NodeConfig,
  identity: { instanceId: string; privateIp: string; availabilityZone: string },
  because: string,
): NodeStatus => ({
  schema: 1,
  cluster_id: config.cluster_id,
  instance_id: identity.instanceId,
  private_ip: identity.privateIp,
  availability_zone: identity.availabilityZone,
  agent_version: version,
  role: "unknown",
  mysql: { up: false, seen_ms_ago: 0, error: "nobody looked: the agent does not answer" },
  highest_fence: 0,
  serves_writes: { ok: false, because },
  serves_reads: { ok: false, because },
  problems: [because],
});

const status = async (config: NodeConfig): Promise<void> => {
  const node = await wireNode(config, log);
  const answer = await node.agents
    .status(node.identity.privateIp)
    .catch((error: unknown) =>
      withoutAgent(config, node.identity, error instanceof Error ? error.message : String(error)),
    );
  print(answer);
};

const backup = async (config: NodeConfig, signal: AbortSignal): Promise<void> => {
  const node = await wireNode(config, log);
  const manifest = await backupThisNode({
    ...node,
    lock: node.lock("backup", `full backup by ${node.identity.instanceId}`),
    engine: node.backupEngine(node.mysqlServer()),
    now: () => new Date(),
    signal,
  });
  print(manifest);
};

runMain(log, async (signal) => {
  const [command, ...rest] = process.argv.slice(2);
  if (command === "--version" || command === "--help") {
    process.stdout.write(`${command === "--help" ? usage : version}\n`);
    return;
  }
  if (rest.length > 0) throw new Failure("bad-input", { message: `${command} takes no further arguments.\n${usage}` });
  switch (command) {
    case "status":
      return status(await readNodeConfig());
    case "backup":
      return backup(await readNodeConfig(), signal);
    default:
      throw new Failure("bad-input", { message: `Unknown command ${command ?? "(none)"}.\n${usage}` });
  }
});
