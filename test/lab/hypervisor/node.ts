import { mkdir, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { units } from "#contract/names.ts";
import { type NodeConfig, nodeConfigVariable } from "#contract/node-config.ts";
import { ports } from "#contract/ports.ts";
import { nodeFlags } from "../../../rolldown.config.ts";
import { labForwarderConfig } from "../forwarder-config.ts";
import { journalPath, type MachineLayout } from "../machine/layout.ts";
import { type UnitDefinition, unitDefinition } from "../machine/unit.ts";
import { labOptionFile } from "../option-file.ts";
import { labOrchestratorConfig } from "../orchestrator.ts";

/** What a node of a cluster is told that is the same on all nodes. */
export interface ClusterOfNode {
  readonly clusterId: string;
  readonly nodes: number;
  readonly tableName: string;
  readonly secretArn: string;
  readonly topicArn?: string;
  readonly bucket: string;
  readonly asgName: string;
  readonly writeTargetGroupArn: string;
  readonly readTargetGroupArn: string;
  readonly application?: { readonly schema: string; readonly user: string };
}

/** The software on a node. */
export interface NodeSoftware {
  /** Folder of the compiled scripts. */
  readonly binDir: string;
  /** The program mysqld. */
  readonly mysqld: string;
  /** The program HAProxy, with `forward` routing; without it routing is `registration`. */
  readonly haproxy?: string;
  /** The program Orchestrator, when it is the engine; without it the agents are. */
  readonly orchestrator?: string;
}

const { username, uid } = userInfo();

/** A node's configuration, as Puppet would write it. */
export function nodeConfig(
  cluster: ClusterOfNode,
  region: string,
  network: string,
  software: NodeSoftware,
  layout: MachineLayout,
): NodeConfig {
  return {
    cluster_id: cluster.clusterId,
    region,
    instance_count: cluster.nodes,
    dynamodb_table: cluster.tableName,
    credentials_secret: cluster.secretArn,
    ...(cluster.topicArn === undefined ? {} : { sns_topic_arn: cluster.topicArn }),
    s3_bucket: cluster.bucket,
    asg_name: cluster.asgName,
    write_target_group_arn: cluster.writeTargetGroupArn,
    read_target_group_arn: cluster.readTargetGroupArn,
    // Orchestrator cannot be told which address to connect from, so that in the lab it comes from 127.0.0.1.
    account_network: software.orchestrator === undefined ? `${network}.0.0/255.255.0.0` : "127.0.0.0/255.0.0.0",
    max_replica_lag_seconds: 30,
    ...(cluster.application === undefined ? {} : { application: cluster.application }),
    mysql: {
      mysqld: software.mysqld,
      defaults_file: layout.optionFile,
      include_dir: layout.optionFolder,
      datadir: layout.datadir,
      socket: layout.mysqlSocket,
      os_user: username,
      replication_tls: "required",
    },
    ...(software.orchestrator === undefined
      ? { failover_engine: "agent" as const }
      : { failover_engine: "orchestrator" as const, orchestrator: { config_file: layout.orchestratorConfig } }),
    write_without_ackers: "never",
    ...(software.haproxy === undefined
      ? { write_routing: "registration" as const }
      : { write_routing: "forward" as const, forwarder: { socket: layout.forwarderSocket } }),
    state_dir: layout.state,
  };
}

/** Writes the option file, the node's configuration, and those of HAProxy and Orchestrator where they run. */
export async function provisionNode(
  layout: MachineLayout,
  config: NodeConfig,
  address: string,
  software: NodeSoftware,
): Promise<void> {
  const options = await labOptionFile({
    datadir: layout.datadir,
    socket: layout.mysqlSocket,
    pidFile: join(layout.data, "mysqld.pid"),
    errorLog: journalPath(layout, units.mysql),
    includeDir: layout.optionFolder,
    address,
    port: ports.mysql,
    adminPort: ports.mysqlAdmin,
  });
  await writeFile(layout.optionFile, options);
  await writeFile(layout.nodeConfig, `${JSON.stringify(config, null, 2)}\n`);
  if (config.orchestrator !== undefined) {
    await mkdir(layout.orchestratorFolder, { recursive: true });
    const orchestrator = await labOrchestratorConfig({
      address,
      folder: layout.orchestratorFolder,
      hook: join(software.binDir, "orchestrator-hook"),
    });
    await writeFile(layout.orchestratorConfig, orchestrator, { mode: 0o600 });
  }
  if (config.forwarder === undefined) return;
  const forwarder = await labForwarderConfig({
    address,
    socket: config.forwarder.socket,
    maxReplicaLagSeconds: config.max_replica_lag_seconds,
  });
  await writeFile(layout.forwarderConfig, forwarder);
}

/**
 * A node's units; at boot only the forwarder and the bootstrap are started, which starts mysqld and the agent; that one starts
 * Orchestrator.
 */
export function nodeUnits(software: NodeSoftware, layout: MachineLayout): UnitDefinition[] {
  const script = (name: string): [string, ...string[]] => [
    process.execPath,
    ...(nodeFlags[name] ?? []),
    join(software.binDir, `${name}.mjs`),
  ];
  return [
    unitDefinition({
      name: units.mysql,
      description: "MySQL",
      // mysqld runs as root only when it is told to.
      argv: [software.mysqld, `--defaults-file=${layout.optionFile}`, ...(uid === 0 ? ["--user=root"] : [])],
      restart: "on-failure",
      restartMs: 100,
      timeoutStopMs: 600_000,
    }),
    unitDefinition({
      name: units.bootstrap,
      description: "percona-actions: joins this node to its cluster",
      argv: script("bootstrap"),
      type: "oneshot",
      restart: "on-failure",
      restartMs: 1000,
    }),
    unitDefinition({
      name: units.agent,
      description: "percona-actions: agent",
      argv: script("agent"),
      restart: "always",
      restartMs: 200,
    }),
    ...(software.haproxy === undefined
      ? []
      : [
          unitDefinition({
            name: units.forwarder,
            description: "HAProxy: connections to the primary and to replicas",
            argv: [software.haproxy, "-db", "-f", layout.forwarderConfig],
            restart: "always",
            restartMs: 200,
          }),
        ]),
    ...(software.orchestrator === undefined
      ? []
      : [
          unitDefinition({
            name: units.orchestrator,
            description: "Orchestrator",
            argv: [software.orchestrator, "--config", layout.orchestratorConfig, "http"],
            workingDirectory: layout.orchestratorFolder,
            restart: "always",
            restartMs: 1000,
          }),
        ]),
  ];
}

/**
 * The environment of a node's processes. There are no AWS keys in it: those come from the metadata service, as on EC2.
 *
 * @param cloud where AWS is.
 * @param extra wins over the rest.
 */
export function nodeVariables(
  software: NodeSoftware,
  layout: MachineLayout,
  cloud: Readonly<Record<string, string>>,
  extra: Readonly<Record<string, string>>,
): Record<string, string> {
  return {
    PATH: [dirname(process.execPath), process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin"].join(delimiter),
    USER: username,
    ...cloud,
    [nodeConfigVariable]: layout.nodeConfig,
    PERCONA_ACTIONS_BIN: software.binDir,
    PERCONA_NODE: process.execPath,
    NODE_COMPILE_CACHE: join(software.binDir, ".compile-cache"),
    ...extra,
  };
}
