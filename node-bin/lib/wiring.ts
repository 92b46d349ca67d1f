import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { accountNames } from "#contract/credentials.ts";
import { messageOf } from "#contract/failure-reasons.ts";
import { leaseTimings } from "#contract/lease.ts";
import type { NodeConfig } from "#contract/node-config.ts";
import { ports } from "#contract/ports.ts";
import { itemKey, type LockName } from "#contract/table.ts";
import { makeAgentClient } from "./agent-client/client.ts";
import { makeAutoScaling } from "./aws/autoscaling.ts";
import { makeBatchReader } from "./aws/batch-reader.ts";
import { makeAws } from "./aws/clients.ts";
import { makeEc2 } from "./aws/ec2.ts";
import { makeTargetGroups } from "./aws/elbv2.ts";
import { makeMetadata, metadataOverHttp } from "./aws/metadata.ts";
import { makeBucket } from "./aws/s3.ts";
import { makeSecrets } from "./aws/secrets.ts";
import { makeNotify } from "./aws/sns.ts";
import { makeTable } from "./aws/table.ts";
import { makeCatalog } from "./backup/catalog.ts";
import { cloneEngine } from "./backup/clone-engine.ts";
import type { BackupEngine } from "./backup/engine.ts";
import { dataDirectories } from "./bootstrap/data-directory.ts";
import { makeJournal } from "./coordination/journal.ts";
import { type Lease, type LeaseTimings, makeLease } from "./coordination/lease.ts";
import { makeTopology } from "./coordination/topology.ts";
import { clusterNode } from "./failover/cluster-node.ts";
import type { SwitchoverContext } from "./failover/switchover/context.ts";
import { switchover } from "./failover/switchover/definition.ts";
import { startProbe } from "./failover/switchover/probe.ts";
import { highestFenceFiles, openHighestFence } from "./host/highest-fence.ts";
import type { Log } from "./host/log.ts";
import { runProgram } from "./host/run.ts";
import { systemdServices } from "./host/services.ts";
import { monotonicMs, pause } from "./host/wait.ts";
import { connectMysql, type MysqlConnection } from "./mysql/connection.ts";
import { makeIncarnation } from "./mysql/incarnation.ts";
import { type MysqlServer, makeMysqlServer } from "./mysql/server.ts";
import type { OperationDefinition } from "./operation/definition.ts";
import { faultInjection } from "./operation/fault.ts";
import type { OperationParts } from "./operation/run-operation.ts";
import type { OrchestratorClient } from "./orchestrator/client.ts";
import { type NodeOrchestrator, nodeOrchestrator } from "./orchestrator/on-node.ts";

/** How long an agent may take to answer another, milliseconds. */
const agentTimeoutMs = 1500;

/** How long the secret is used before it is read again, milliseconds. */
const rememberSecretMs = 30_000;

/** Reads again what is older than `forMs`; while it cannot be read, what was read before goes on to be used. */
const remembered = <T>(read: () => Promise<T>, forMs: number): (() => Promise<T>) => {
  let last: { readonly value: T; readonly at: number } | undefined;
  return async () => {
    if (last && monotonicMs() - last.at < forMs) return last.value;
    try {
      last = { value: await read(), at: monotonicMs() };
    } catch (error) {
      if (!last) throw error;
    }
    return last.value;
  };
};

const orchestratorOf = (
  config: NodeConfig,
  address: string,
  password: () => Promise<string>,
): NodeOrchestrator | undefined =>
  config.failover_engine === "orchestrator" && config.orchestrator
    ? nodeOrchestrator({ address, configFile: config.orchestrator.config_file, password })
    : undefined;

/** The adapters of one node, made from its configuration; the scripts put them together. */
export const wireNode = async (config: NodeConfig, log: Log, writer: keyof typeof highestFenceFiles = "agent") => {
  const metadata = makeMetadata(metadataOverHttp());
  const identity = await metadata.identity();
  const aws = makeAws({ region: config.region, sourceAddress: identity.privateIp });
  const table = makeTable(aws, config.dynamodb_table);
  const bucket = makeBucket(aws, config.s3_bucket);
  const secrets = makeSecrets(aws);
  const uuid = randomUUID;
  const credentials = remembered(() => secrets.readCredentials(config.credentials_secret), rememberSecretMs);
  // An owner is one process, so that a restarted one never takes itself for the one before it.
  const owner = `${identity.instanceId}/${uuid()}`;
  const lease = (pk: string, purpose: string, timings: LeaseTimings = leaseTimings.short): Lease =>
    makeLease({
      table,
      pk,
      owner,
      purpose,
      timings,
      now: monotonicMs,
      wallClock: () => new Date(),
      uuid,
      sleep: pause,
    });
  const incarnation = makeIncarnation(config.state_dir);
  const mysqlServer = (options: { readonly onLost?: () => void } = {}): MysqlServer =>
    makeMysqlServer({
      connect: () => connectMysql({ socketPath: config.mysql.socket, user: "root", ...options }),
      incarnation,
    });
  return {
    config,
    identity,
    log,
    uuid,
    run: runProgram,
    services: systemdServices(runProgram),
    data: dataDirectories(config.mysql.datadir, config.cluster_id),
    table,
    bucket,
    credentials,
    topology: makeTopology({ table, clusterId: config.cluster_id, uuid, now: () => new Date() }),
    lock: (name: LockName, purpose: string): Lease =>
      lease(
        itemKey.lock(name, config.cluster_id),
        purpose,
        name === "backup" || name === "binlog" ? leaseTimings.long : leaseTimings.short,
      ),
    primaryLease: lease(itemKey.primaryLease(config.cluster_id), "the primary is alive"),
    highestFence: await openHighestFence(
      join(config.state_dir, highestFenceFiles[writer]),
      Object.values(highestFenceFiles).map((file) => join(config.state_dir, file)),
    ),
    catalog: makeCatalog(bucket, config.cluster_id, log.warn),
    mysqlServer,
    logIn: async (user: string, password: string): Promise<void> => {
      const { privateIp } = identity;
      const session = await connectMysql({
        host: privateIp,
        port: ports.mysql,
        user,
        password,
        sourceAddress: privateIp,
      });
      await session.close();
    },
    readItems: makeBatchReader(aws, config.dynamodb_table),
    journal: makeJournal({ table, bucket, clusterId: config.cluster_id, uuid, now: () => new Date() }),
    notify: config.sns_topic_arn === undefined ? undefined : makeNotify(aws, config.sns_topic_arn),
    backupEngine: (source: MysqlServer): BackupEngine =>
      cloneEngine({
        source,
        program: {
          mysqld: config.mysql.mysqld,
          defaultsFile: config.mysql.defaults_file,
          osUser: config.mysql.os_user,
        },
        datadir: config.mysql.datadir,
        workDir: `${config.mysql.datadir}.backup`,
      }),
    metadata,
    agents: makeAgentClient({
      sourceAddress: identity.privateIp,
      timeoutMs: agentTimeoutMs,
      key: async () => (await credentials()).agent,
    }),
    ec2: makeEc2(aws),
    autoScaling: makeAutoScaling(aws),
    targetGroups: makeTargetGroups(aws),
    orchestrator: orchestratorOf(config, identity.privateIp, async () => (await credentials()).orchestrator),
  };
};

export type WiredNode = Awaited<ReturnType<typeof wireNode>>;

/** What runs any operation on this node. */
export const operationParts = (node: WiredNode, log: Log, signal: AbortSignal): OperationParts => ({
  me: node.identity.instanceId,
  journal: node.journal,
  topology: node.topology,
  operationLock: (purpose) => node.lock("operation", purpose),
  log,
  now: () => new Date(),
  monotonic: monotonicMs,
  sleep: pause,
  stopAt: faultInjection(process.env),
  signal,
});

/** The switchover as this node would run it. */
export const wireSwitchover = (node: WiredNode, log: Log): OperationDefinition<SwitchoverContext> => {
  const { config, identity } = node;
  const probeAt = (host: string, port: number) => async (): Promise<MysqlConnection> =>
    connectMysql({
      host,
      port,
      user: accountNames.probe,
      password: (await node.credentials()).monitor,
      sourceAddress: identity.privateIp,
    });
  /** Nothing is promoted without an agent, which asks the primary lease, so that a switchover need not fail for this. */
  const switchRecoveries = async (to: string, change: (client: OrchestratorClient) => Promise<void>): Promise<void> => {
    if (!node.orchestrator) return;
    await change(node.orchestrator.client).catch((error: unknown) =>
      log.warn(`Orchestrator's recoveries are not ${to}: ${messageOf(error)}`),
    );
  };
  return switchover({
    clusterId: config.cluster_id,
    ec2: node.ec2,
    topology: node.topology,
    operationLock: node.lock("operation", "nothing: the plan only looks"),
    nodeAt: (at) => clusterNode(node.agents, at),
    sleep: pause,
    routing: config.write_routing,
    me: identity.instanceId,
    election: node.lock("election", `switchover by ${identity.instanceId}`),
    log,
    now: monotonicMs,
    startProbe: async () => {
      const record = await node.topology.read();
      const direct = [...new Set([record?.private_ip ?? identity.privateIp, identity.privateIp])];
      const places =
        config.write_routing === "forward" && config.forwarder
          ? [probeAt(identity.privateIp, ports.forwardWrite)]
          : direct.map((host) => probeAt(host, ports.mysql));
      return startProbe({ places, now: monotonicMs, sleep: pause, name: identity.instanceId });
    },
    pauseRecoveries: () => switchRecoveries("paused", async (client) => client.disableRecoveries()),
    resumeRecoveries: () => switchRecoveries("on", async (client) => client.enableRecoveries()),
  });
};
