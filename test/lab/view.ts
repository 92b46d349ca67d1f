import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AutoScalingClient, TerminateInstanceInAutoScalingGroupCommand } from "@aws-sdk/client-auto-scaling";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { ElasticLoadBalancingV2Client } from "@aws-sdk/client-elastic-load-balancing-v2";
import { S3Client } from "@aws-sdk/client-s3";
import * as v from "valibot";
import { topologyRecord } from "#actions/lib/aws/records.ts";
import { agentPaths, NodeStatus } from "#contract/agent-api.ts";
import { ports } from "#contract/ports.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { LabControls, LabNode } from "./controls.ts";
import { type Overview, readOverview } from "./overview.ts";
import { loginFor, runSql, type SqlLogin, type SqlResult } from "./sql.ts";
import type { LabDescription } from "./state.ts";
import { overviewText } from "./tables.ts";
import { type Look, waitUntil } from "./wait.ts";

/** Where the SDK's clients find the lab's AWS, as the account's owner. */
export interface AwsConfig {
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** What can be seen of a lab and done to it from any process. Nodes are named `n1`, `n2`, … or by their instance ids. */
export interface LabView {
  readonly description: LabDescription;
  /** Configuration for SDK clients; S3 wants `forcePathStyle: true` besides. */
  aws(): AwsConfig;
  nodes(): Promise<readonly LabNode[]>;
  /** @throws naming the nodes that are there, when there is none of that name. */
  node(name: string): Promise<LabNode>;
  /** What the node's agent answers at `/status`. @throws when it does not answer within a second. */
  status(name: string): Promise<NodeStatus>;
  /** The topology record; undefined when there is none yet. */
  topology(): Promise<TopologyRecord | undefined>;
  overview(): Promise<Overview>;
  /** How to log in through the balancer (`write`, `read`) or at a node. */
  login(target: string): Promise<SqlLogin>;
  /** Runs one statement on a connection of its own. */
  sql(target: string, statement: string, parameters?: readonly (string | number | null)[]): Promise<SqlResult>;
  /** Journals of a node by unit, whole. */
  logs(name: string): Promise<Readonly<Record<string, string>>>;
  /** Terminates an instance through its group, which replaces it. */
  terminate(name: string): Promise<void>;
  /** Waits for a condition; the error says what was seen last and how the cluster was. */
  waitUntil(
    description: string,
    look: () => Promise<Look> | Look,
    deadlineMs: number,
    signal?: AbortSignal,
  ): Promise<void>;
  /** Waits until the cluster is as it should be; `signal` ends the wait early. */
  waitHealthy(deadlineMs?: number, signal?: AbortSignal): Promise<Overview>;
  /** Frees the connections of the clients. */
  close(): void;
}

/** How long an agent may take to answer. */
const agentDeadlineMs = 1000;
const healthyDeadlineMs = 120_000;

/** A view of a lab through what it offers. */
export function labView(description: LabDescription, controls: Pick<LabControls, "nodes">): LabView {
  const { cluster } = description;
  const aws = (): AwsConfig => ({
    endpoint: description.endpoint,
    region: description.region,
    credentials: description.operator,
  });
  const clients = {
    dynamodb: new DynamoDBClient(aws()),
    s3: new S3Client({ ...aws(), forcePathStyle: true }),
    loadBalancing: new ElasticLoadBalancingV2Client(aws()),
    autoScaling: new AutoScalingClient(aws()),
  };

  const node = async (name: string): Promise<LabNode> => {
    const nodes = await controls.nodes();
    const found = nodes.find((each) => each.name === name || each.instanceId === name);
    if (found !== undefined) return found;
    throw new Error(`There is no node ${name}; there are ${nodes.map((each) => each.name).join(", ") || "none"}.`);
  };
  const agentStatus = async (address: string, signal: AbortSignal): Promise<NodeStatus> => {
    const answer = await fetch(`http://${address}:${ports.agent}${agentPaths.status}`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(agentDeadlineMs)]),
    });
    return v.parse(NodeStatus, await answer.json());
  };
  const overview = (): Promise<Overview> =>
    readOverview(
      { lab: description.number, cluster, clients, nodes: controls.nodes, agentStatus },
      AbortSignal.timeout(10_000),
    );
  const login = async (target: string): Promise<SqlLogin> =>
    target === "write" || target === "read"
      ? loginFor(cluster, { balancer: target })
      : loginFor(cluster, { socket: (await node(target)).mysqlSocket });
  const wait: LabView["waitUntil"] = (what, look, deadlineMs, signal) =>
    waitUntil(what, look, deadlineMs, async () => overviewText(await overview()), signal);

  return {
    description,
    aws,
    nodes: controls.nodes,
    node,
    status: async (name) => agentStatus((await node(name)).address, AbortSignal.timeout(agentDeadlineMs)),
    topology: () =>
      topologyRecord(clients, { clusterId: cluster.clusterId, table: cluster.tableName }, AbortSignal.timeout(10_000)),
    overview,
    login,
    sql: async (target, statement, parameters) => runSql(await login(target), statement, parameters),
    logs: async (name) => {
      const { logDirectory } = await node(name);
      const files = (await readdir(logDirectory)).filter((file) => file.endsWith(".log")).sort();
      const entries = files.map(
        async (file): Promise<[string, string]> => [
          file.slice(0, -".log".length),
          await readFile(join(logDirectory, file), "utf8"),
        ],
      );
      return Object.fromEntries(await Promise.all(entries));
    },
    terminate: async (name) => {
      const { instanceId } = await node(name);
      await clients.autoScaling.send(
        new TerminateInstanceInAutoScalingGroupCommand({
          InstanceId: instanceId,
          ShouldDecrementDesiredCapacity: false,
        }),
      );
    },
    waitUntil: wait,
    waitHealthy: async (deadlineMs = healthyDeadlineMs, signal) => {
      let last: Overview | undefined;
      await wait(
        "the cluster is healthy",
        async () => {
          last = await overview();
          return last.missing.length === 0 || last.missing.join("; ");
        },
        deadlineMs,
        signal,
      );
      return last ?? overview();
    },
    close: () => {
      for (const client of Object.values(clients)) client.destroy();
    },
  };
}
