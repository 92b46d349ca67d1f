import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { leaseTimings } from "#contract/lease.ts";
import type { NodeConfig } from "#contract/node-config.ts";
import { itemKey, type LockName } from "#contract/table.ts";
import { makeAgentClient } from "./agent/client.ts";
import { makeAutoScaling } from "./aws/autoscaling.ts";
import { makeAws } from "./aws/clients.ts";
import { makeEc2 } from "./aws/ec2.ts";
import { makeTargetGroups } from "./aws/elbv2.ts";
import { makeMetadata, metadataOverHttp } from "./aws/metadata.ts";
import { makeBucket } from "./aws/s3.ts";
import { makeSecrets } from "./aws/secrets.ts";
import { makeTable } from "./aws/table.ts";
import { makeCatalog } from "./backup/catalog.ts";
import { cloneEngine } from "./backup/clone-engine.ts";
import type { BackupEngine } from "./backup/engine.ts";
import { dataDirectories } from "./bootstrap/data-directory.ts";
import { type Lease, type LeaseTimings, makeLease } from "./coordination/lease.ts";
import { makeTopology } from "./coordination/topology.ts";
import { openHighestFence } from "./host/highest-fence.ts";
import type { Log } from "./host/log.ts";
import { runProgram } from "./host/run.ts";
import { systemdServices } from "./host/services.ts";
import { monotonicMs, pause } from "./host/wait.ts";
import { connectMysql } from "./mysql/connection.ts";
import { makeIncarnation } from "./mysql/incarnation.ts";
import { type MysqlServer, makeMysqlServer } from "./mysql/server.ts";

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

/** The adapters of one node, made from its configuration; the scripts put them together. */
export const wireNode = async (config: NodeConfig, log: Log) => {
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
  const mysqlServer = (): MysqlServer =>
    makeMysqlServer({
      connect: () => connectMysql({ socketPath: config.mysql.socket, user: "root" }),
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
    highestFence: await openHighestFence(join(config.state_dir, "highest-fence.json")),
    catalog: makeCatalog(bucket, config.cluster_id, log.warn),
    mysqlServer,
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
  };
};
