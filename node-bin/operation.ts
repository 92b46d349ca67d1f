import { agentPaths, type NodeStatus } from "#contract/agent-api.ts";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import type { NodeConfig } from "#contract/node-config.ts";
import { backupThisNode } from "./lib/backup/backup-this-node.ts";
import { readNodeConfig } from "./lib/host/config.ts";
import { makeLog } from "./lib/host/log.ts";
import { runMain } from "./lib/host/main.ts";
import { version } from "./lib/host/version.ts";
import { byIdCommand, type OperationCommands, switchoverCommand } from "./lib/operation/commands.ts";
import { runOperation } from "./lib/operation/run-operation.ts";
import { startDetached } from "./lib/operation/start.ts";
import { operationParts, wireNode, wireSwitchover } from "./lib/wiring.ts";

const usage = `Usage: operation COMMAND

What the SSM documents and timers call on a node. Standard output is one JSON object.

  status      what this node's agent answers at ${agentPaths.status}
  switchover  plan or begin a switchover, as the variables SSM_Mode, SSM_OperationId, SSM_Target, … say
  by-id       ask an operation to end, or take over one whose runner died: SSM_Mode, SSM_OperationId
  run ID      run a recorded operation to its end, here and now; take it up when its runner died
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
    .catch((error: unknown) => withoutAgent(config, node.identity, messageOf(error)));
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

const commands = async (config: NodeConfig): Promise<OperationCommands> => {
  const node = await wireNode(config, log);
  const definition = wireSwitchover(node, log);
  return {
    journal: node.journal,
    plan: definition.plan,
    start: (operationId) =>
      startDetached(
        node.run,
        operationId,
        [process.execPath, process.argv[1] ?? "operation", "run", operationId],
        process.env,
      ),
    now: () => new Date(),
    env: process.env,
  };
};

const runRecorded = async (config: NodeConfig, operationId: string, signal: AbortSignal): Promise<void> => {
  const node = await wireNode(config, log);
  const ended = await runOperation(wireSwitchover(node, log), operationParts(node, log, signal), operationId);
  print({ operation_id: operationId, state: ended.state });
};

runMain(log, async (signal) => {
  const [command, ...rest] = process.argv.slice(2);
  if (command === "--version" || command === "--help") {
    process.stdout.write(`${command === "--help" ? usage : version}\n`);
    return;
  }
  if (command === "run" && rest.length === 1 && rest[0] !== undefined) {
    return runRecorded(await readNodeConfig(), rest[0], signal);
  }
  if (rest.length > 0) throw new Failure("bad-input", { message: `${command} takes no further arguments.\n${usage}` });
  switch (command) {
    case "status":
      return status(await readNodeConfig());
    case "switchover":
      return print(await switchoverCommand(await commands(await readNodeConfig())));
    case "by-id":
      return print(await byIdCommand(await commands(await readNodeConfig())));
    case "backup":
      return backup(await readNodeConfig(), signal);
    default:
      throw new Failure("bad-input", { message: `Unknown command ${command ?? "(none)"}.\n${usage}` });
  }
});
