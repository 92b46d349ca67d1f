import { beforeEach, describe, expect, it } from "vitest";
import type { TopologyRecord } from "#contract/topology.ts";
import { type RoutingContext, reconcileRouting } from "#node/lib/agent/routing.ts";
import { type AgentSelf, emptyState, noteRecord } from "#node/lib/agent/state.ts";
import type { Target } from "#node/lib/aws/elbv2.ts";
import { monotonicMs } from "#node/lib/host/wait.ts";
import { n1, n2, record } from "../cluster/samples.ts";

const self: AgentSelf = {
  clusterId: "c1",
  instanceId: n1,
  privateIp: "10.0.0.1",
  availabilityZone: "a",
  version: "0",
  maxLagSeconds: 10,
};

/** Calls that change a target group, in their order. */
let calls: string[];
let state: ReturnType<typeof emptyState>;
/** What the table has now, whatever the agent saw last. */
let stored: TopologyRecord;
let inWriteGroup: string[];
beforeEach(() => {
  calls = [];
  inWriteGroup = [n1];
  stored = record({ instance_id: n1, fence: 5 });
  state = emptyState();
});

const context = (): RoutingContext => ({
  config: {
    write_routing: "registration",
    write_target_group_arn: "write",
    read_target_group_arn: "read",
    asg_name: "g",
  },
  identity: { instanceId: n1 },
  log: { info: () => {}, warn: () => {} },
  state,
  topology: { read: async () => stored },
  autoScaling: { instanceLifecycle: async () => undefined, setScaleInProtection: async () => {} },
  ec2: { describeInstances: async () => [], tagInstance: async () => {} },
  mysqlForWrites: {
    endClientSessions: async () => {
      calls.push("end sessions");
      return 1;
    },
  },
  targetGroups: {
    targets: async () => inWriteGroup.map((instanceId) => target(instanceId, "healthy", true)),
    targetHealth: async () => target(n1, "unused", false),
    register: async (arn: string, id: string) => void calls.push(`register ${id} ${arn}`),
    deregister: async (arn: string, id: string) => void calls.push(`deregister ${id} ${arn}`),
  },
  signal: new AbortController().signal,
});

const target = (instanceId: string, state: string, registered: boolean): Target => ({
  instanceId,
  state,
  registered,
  description: undefined,
});

/** The agent of a primary that serves. */
const serves = (): void => {
  noteRecord(state, stored);
  state.bootstrap = { state: "joined" } as typeof state.bootstrap;
  state.peers = [{ instanceId: n2, privateIp: "10.0.0.2" }];
  state.mysqlAt = monotonicMs();
  state.mysql = {
    up: true,
    read_only: false,
    super_read_only: false,
    semi_sync: { source_enabled: true, replica_enabled: false, wait_count: 1, clients: 2 },
  };
  state.lease = { held: () => true } as typeof state.lease;
};

describe("one round of the reconciler", () => {
  it("changes nothing as long as the agent has not read the record: it may be the primary's, started anew", async () => {
    state.bootstrap = { state: "joined" } as typeof state.bootstrap;
    await reconcileRouting(context(), self);
    expect(calls).toEqual([]);
  });

  it("changes nothing as long as the agent does not know whether its node has joined", async () => {
    noteRecord(state, stored);
    await reconcileRouting(context(), self);
    expect(calls).toEqual([]);
  });

  it("takes the replaced primary out of the write group", async () => {
    serves();
    inWriteGroup = [n2, n1];
    await reconcileRouting(context(), self);
    expect(calls).toEqual([`deregister ${n2} write`]);
  });

  it("takes nobody out when another has become the primary meanwhile", async () => {
    serves();
    inWriteGroup = [n2, n1];
    stored = record({ instance_id: n2, fence: 6 });
    await reconcileRouting(context(), self);
    expect(calls).toEqual([]);
  });

  it("leaves a target alone that is no node of the cluster", async () => {
    serves();
    inWriteGroup = ["i-ffffffff", n1];
    await reconcileRouting(context(), self);
    expect(calls).toEqual([]);
  });

  it("sends away who came to a node after it was demoted, once nobody new comes", async () => {
    serves();
    noteRecord(state, record({ instance_id: n2, fence: 6 }));
    await reconcileRouting(context(), self);
    expect(calls).toEqual([`deregister ${n1} write`, "end sessions"]);
  });
});
