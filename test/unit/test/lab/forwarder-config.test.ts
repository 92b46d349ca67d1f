import { describe, expect, it } from "vitest";
import { agentPaths, maxLagParameter } from "#contract/agent-api.ts";
import { ports } from "#contract/ports.ts";
import { labForwarderConfig } from "#lab/forwarder-config.ts";
import { nodeConfig, nodeUnits } from "#lab/hypervisor/node.ts";
import { waitingTurnMs } from "#node/lib/forwarder/forwarder.ts";
import { cluster, layout } from "./samples.ts";

const node = { address: "127.1.11.4", socket: "/tmp/lab1-x/n1/haproxy.sock", maxReplicaLagSeconds: 30 };

describe("HAProxy's configuration", () => {
  it("has nothing left of the template, and names what the contract names", async () => {
    const config = await labForwarderConfig(node);
    expect(config).not.toMatch(/<%|undefined|\$/);
    expect(config).toContain(`bind ${node.address}:${ports.forwardWrite}\n`);
    expect(config).toContain(`bind ${node.address}:${ports.forwardRead}\n`);
    expect(config).toContain(`httpchk GET ${agentPaths.primary}\n`);
    expect(config).toContain(`httpchk GET ${agentPaths.replica}?${maxLagParameter}=30\n`);
    expect(config).toContain(`check port ${ports.agent} `);
  });

  it("lets a waiting connection turn to another server within the time that the agent gives it", async () => {
    const connectMs = Number(/timeout connect (\d+)ms/.exec(await labForwarderConfig(node))?.[1]);
    expect(connectMs).toBeGreaterThan(0);
    expect(waitingTurnMs).toBeGreaterThan(2 * connectMs);
  });

  it.each([true, false])("tells servers their clients' addresses only where asked to: %s", async (proxyProtocol) => {
    const config = await labForwarderConfig({ ...node, proxyProtocol });
    expect(/^ *default-server send-proxy-v2$/m.test(config)).toBe(proxyProtocol);
  });
});

describe("a node", () => {
  it.each([
    [undefined, "registration", undefined, []],
    ["/cache/bin/haproxy", "forward", { socket: layout.forwarderSocket }, ["percona-forwarder"]],
  ])("with the program %s routes by %s", (haproxy, routing, forwarder, unitNames) => {
    const software = { binDir: "/b", mysqld: "/m", ...(haproxy === undefined ? {} : { haproxy }) };
    const config = nodeConfig(cluster, "us-east-1", "127.1", software, layout);
    expect([config.write_routing, config.forwarder]).toEqual([routing, forwarder]);
    const names = nodeUnits(software, layout).map(({ name }) => name);
    expect(names.filter((name) => name === "percona-forwarder")).toEqual(unitNames);
  });
});
