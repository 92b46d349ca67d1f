import { once } from "node:events";
import { connect, type Socket } from "node:net";
import {
  DeregisterTargetsCommand,
  DescribeTargetHealthCommand,
  ElasticLoadBalancingV2Client,
  ModifyTargetGroupAttributesCommand,
  RegisterTargetsCommand,
} from "@aws-sdk/client-elastic-load-balancing-v2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { agentPaths } from "#contract/agent-api.ts";
import { ports } from "#contract/ports.ts";
import { type ClusterResources, createCluster } from "#lab/cloud/index.ts";
import { eventually, type FakeNode, startFakeNode, startTestCloud, type TestCloud } from "./harness.ts";

let test: TestCloud;
let cluster: ClusterResources;
let balancing: ElasticLoadBalancingV2Client;
const nodes: { instanceId: string; node: FakeNode }[] = [];

beforeAll(async () => {
  // A health check interval of 10 s is 400 ms here, the deregistration delay of 60 s is 2.4 s.
  test = await startTestCloud({ timeFactor: 25 });
  const { cloud } = test;
  cluster = await createCluster(cloud, { clusterId: "targets", nodes: 3, routing: "registration" });
  const options = { endpoint: cloud.endpoint, region: cloud.region, credentials: cloud.operator, maxAttempts: 1 };
  balancing = new ElasticLoadBalancingV2Client(options);
  await modify({
    "deregistration_delay.timeout_seconds": "60",
    "deregistration_delay.connection_termination.enabled": "false",
  });
  for (const { instanceId, privateIp } of cloud.instances()) {
    nodes.push({ instanceId, node: await startFakeNode(privateIp) });
  }
  const Targets = nodes.map(({ instanceId }) => ({ Id: instanceId }));
  await balancing.send(new RegisterTargetsCommand({ TargetGroupArn: cluster.writeTargetGroupArn, Targets }));
});
afterAll(async () => {
  for (const { node } of nodes) await node.close();
  await test?.close();
});

const modify = (attributes: Readonly<Record<string, string>>): Promise<unknown> =>
  balancing.send(
    new ModifyTargetGroupAttributesCommand({
      TargetGroupArn: cluster.writeTargetGroupArn,
      Attributes: Object.entries(attributes).map(([Key, Value]) => ({ Key, Value })),
    }),
  );
const at = (n: number): { instanceId: string; node: FakeNode } => {
  const found = nodes[n];
  if (found === undefined) throw new Error(`There is no node ${n}.`);
  return found;
};
const health = async (): Promise<Map<string, string>> => {
  const { TargetHealthDescriptions } = await balancing.send(
    new DescribeTargetHealthCommand({ TargetGroupArn: cluster.writeTargetGroupArn }),
  );
  return new Map(
    (TargetHealthDescriptions ?? []).map(({ Target, TargetHealth }) => [Target?.Id ?? "", TargetHealth?.State ?? ""]),
  );
};
const becomes = (n: number, state: string) =>
  eventually(`node ${n} is ${state}`, async () => (await health()).get(at(n).instanceId) === state);
const primaryIs = async (...healthy: number[]): Promise<void> => {
  for (const [n, { node }] of nodes.entries()) node.statuses.set(agentPaths.primary, healthy.includes(n) ? 200 : 503);
  for (const n of nodes.keys()) await becomes(n, healthy.includes(n) ? "healthy" : "unhealthy");
};

interface Client {
  readonly socket: Socket;
  /** The address that the server behind the balancer said. */
  readonly server: string;
}
const open = async (port: number = ports.balancerWrite): Promise<Client> => {
  const socket = connect({ host: cluster.loadBalancerAddress, port, allowHalfOpen: true });
  const [greeting] = (await once(socket, "data")) as [Buffer];
  return { socket, server: greeting.toString().trim() };
};
const servers = async (count: number): Promise<string[]> => {
  const seen = new Set<string>();
  for (let n = 0; n < count; n += 1) {
    const { socket, server } = await open();
    seen.add(server);
    socket.destroy();
  }
  return [...seen].sort();
};
const isRefused = async (): Promise<boolean> => {
  const socket = connect({ host: cluster.loadBalancerAddress, port: ports.balancerWrite });
  try {
    await once(socket, "data");
    return false;
  } catch {
    return true;
  } finally {
    socket.destroy();
  }
};
const echoes = async ({ socket }: Client, text: string): Promise<boolean> => {
  socket.write(text);
  const [answer] = (await once(socket, "data")) as [Buffer];
  return answer.toString() === text;
};

describe("health", () => {
  it("follows the agents' answers", async () => {
    await primaryIs(1);
    expect(await health()).toEqual(
      new Map([
        [at(0).instanceId, "unhealthy"],
        [at(1).instanceId, "healthy"],
        [at(2).instanceId, "unhealthy"],
      ]),
    );
    const { TargetHealthDescriptions } = await balancing.send(
      new DescribeTargetHealthCommand({
        TargetGroupArn: cluster.writeTargetGroupArn,
        Targets: [{ Id: at(0).instanceId }, { Id: "i-0123456789abcdef0" }],
      }),
    );
    expect(TargetHealthDescriptions).toMatchObject([
      {
        HealthCheckPort: String(ports.agent),
        Target: { Id: at(0).instanceId, Port: ports.mysql },
        TargetHealth: {
          State: "unhealthy",
          Reason: "Target.FailedHealthChecks",
          Description: "Health checks failed: HTTP 503, expected 200",
        },
      },
      { TargetHealth: { State: "unused", Reason: "Target.NotRegistered" } },
    ]);
  });
});

describe("new connections", () => {
  it("go to the healthy target, from the balancer's address", async () => {
    await primaryIs(1);
    expect(await servers(6)).toEqual([at(1).node.address]);
    expect([...at(1).node.peers]).toEqual([cluster.loadBalancerAddress]);
  });

  it("follow the primary", async () => {
    await primaryIs(1);
    await primaryIs(2);
    expect(await servers(3)).toEqual([at(2).node.address]);
  });

  it("go everywhere when no target is healthy", async () => {
    await primaryIs();
    expect(await servers(9)).toEqual(nodes.map(({ node }) => node.address).sort());
  });
});

describe("a connection", () => {
  it("passes large data, and each half of it ends by itself", async () => {
    await primaryIs(0);
    const { socket } = await open();
    const sent = Buffer.alloc(8 * 1024 * 1024, "0123456789abcdef");
    let received = 0;
    let last = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      received += chunk.length;
      last = Buffer.concat([last.subarray(-16), chunk]).subarray(-16);
    });
    socket.end(sent);
    await once(socket, "end");
    expect(received).toBe(sent.length + "bye\n".length);
    expect(last.toString()).toMatch(/bye\n$/);
  });

  it("is reset when its target becomes unhealthy", async () => {
    await primaryIs(0);
    const client = await open();
    expect(await echoes(client, "ping")).toBe(true);
    const error = once(client.socket, "error");
    await primaryIs(1);
    expect(await error).toMatchObject([{ code: "ECONNRESET" }]);
  });
});

describe("a target that is deregistered", () => {
  const target = () => ({ TargetGroupArn: cluster.writeTargetGroupArn, Targets: [{ Id: at(0).instanceId }] });

  it("keeps its connections, gets no new ones, and has to be healthy to come back", async () => {
    await primaryIs(0, 1);
    const clients = [await open(), await open()];
    const mine = clients.find(({ server }) => server === at(0).node.address);
    if (mine === undefined) throw new Error("No connection went to the node.");
    await balancing.send(new DeregisterTargetsCommand(target()));
    expect((await health()).get(at(0).instanceId)).toBe("draining");
    expect(await servers(4)).toEqual([at(1).node.address]);
    await eventually("the end of the delay", async () => !(await health()).has(at(0).instanceId));
    expect(await echoes(mine, "still here")).toBe(true);
    await balancing.send(new RegisterTargetsCommand(target()));
    expect((await health()).get(at(0).instanceId)).toBe("initial");
    await becomes(0, "healthy");
    for (const { socket } of clients) socket.destroy();
  });

  it("loses its connections after the delay when the group says so", async () => {
    await modify({ "deregistration_delay.connection_termination.enabled": "true" });
    await primaryIs(0);
    const client = await open();
    const error = once(client.socket, "error");
    const began = performance.now();
    await balancing.send(new DeregisterTargetsCommand(target()));
    expect(await echoes(client, "draining")).toBe(true);
    expect(await error).toMatchObject([{ code: "ECONNRESET" }]);
    expect(performance.now() - began).toBeGreaterThan(2300);
    await balancing.send(new RegisterTargetsCommand(target()));
  });
});

it("a group without targets refuses connections", async () => {
  const Targets = nodes.map(({ instanceId }) => ({ Id: instanceId }));
  const group = { TargetGroupArn: cluster.writeTargetGroupArn, Targets };
  await balancing.send(new DeregisterTargetsCommand(group));
  expect(await isRefused()).toBe(true);
  await balancing.send(new RegisterTargetsCommand(group));
});
