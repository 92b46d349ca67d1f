import type { Inspection } from "#contract/agent-api.ts";
import { Failure } from "#contract/failure-reasons.ts";
import * as gtid from "#contract/gtid.ts";
import { leaseTimings } from "#contract/lease.ts";
import { itemKey, type LockName } from "#contract/table.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { Table } from "#node/lib/aws/table.ts";
import { type Lease, makeLease } from "#node/lib/coordination/lease.ts";
import { makeTopology, type Topology } from "#node/lib/coordination/topology.ts";
import type { ClusterNode } from "#node/lib/failover/cluster-node.ts";
import { n1, n2, n3, record as sample, uuid1 } from "../cluster/samples.ts";
import { type FakeClock, fakeClock } from "../coordination/fake-clock.ts";
import { cutOff, fakeStore, prompt } from "../coordination/fake-table.ts";

export const ipOf = (instanceId: string): string => `127.0.11.${Number(instanceId.slice(-1)) + 3}`;
export const uuidOf = (instanceId: string): string =>
  instanceId === n1 ? uuid1 : `${instanceId.slice(-1).repeat(8)}-0000-0000-0000-000000000000`;

/** One node of the fake cluster: what its mysqld and its forwarder are like. */
export interface FakeNode {
  readonly instanceId: string;
  up: boolean;
  incarnation: string;
  readOnly: boolean;
  executed: string;
  received: string;
  /** Address that it receives from. */
  source: string | undefined;
  receiving: boolean;
  applying: boolean;
  holdsConnections: boolean;
  /** An operation has stopped it, placed it or made it read-only; its agent leaves it so. */
  held: boolean;
  /** Highest fence that it has seen. */
  seenFence: number;
}

/** Which command of which node, and how often it was called before. */
export type Call = { readonly node: string; readonly command: string; readonly nth: number };

/** What becomes of a command: it is carried out, refused before it has an effect, or its answer is lost after it. */
export type Fate = "done" | "refused" | "answer-lost";

/** What one process sees of the cluster; a dead one reaches nothing any more. */
export interface FakeProcess {
  readonly me: string;
  alive: boolean;
  readonly table: Table;
  readonly topology: Topology;
  lock(name: LockName, purpose: string): Lease;
  nodeAt(node: { readonly instanceId: string }): ClusterNode;
}

/** A serving cluster of three nodes in memory: n1 is the primary, n2 and n3 are its ackers and hold everything. */
export const fakeCluster = async (change: { readonly fate?: (call: Call) => Fate } = {}) => {
  const store = fakeStore();
  const clock: FakeClock = fakeClock();
  const did: string[] = [];
  const calls = new Map<string, number>();
  let uuids = 0;
  const uuid = (): string => `v-${++uuids}`;
  const all = `${uuid1}:1-10`;
  const nodes = new Map(
    [n1, n2, n3].map((instanceId): [string, FakeNode] => [
      instanceId,
      {
        instanceId,
        up: true,
        incarnation: "inc-1",
        readOnly: instanceId !== n1,
        executed: all,
        received: instanceId === n1 ? "" : all,
        source: instanceId === n1 ? undefined : ipOf(n1),
        receiving: instanceId !== n1,
        applying: instanceId !== n1,
        holdsConnections: false,
        held: false,
        seenFence: 5,
      },
    ]),
  );
  const node = (instanceId: string): FakeNode => nodes.get(instanceId) as FakeNode;
  const topologyOf = (table: Table): Topology => makeTopology({ table, clusterId: "c1", uuid, now: () => new Date(0) });
  const lockOf = (table: Table, name: LockName, owner: string, purpose: string): Lease =>
    makeLease({
      table,
      pk: itemKey.lock(name, "c1"),
      owner,
      timings: leaseTimings.short,
      purpose,
      now: clock.now,
      wallClock: () => new Date(0),
      uuid,
      sleep: clock.sleep,
    });
  const shared = store.connect();
  const topology = topologyOf(shared);
  const {
    pk: _pk,
    rvn: _rvn,
    updated_at: _at,
    ...initial
  } = sample({
    ackers: [n2, n3].map((instance_id) => ({ instance_id, incarnation: "inc-1" })),
  });
  await topology.create(initial);
  const recorded = async (): Promise<TopologyRecord> => (await topology.read()) as TopologyRecord;

  /** A replica that receives has what the node it receives from has. */
  const replicate = (): void => {
    for (const each of nodes.values()) {
      const source = [...nodes.values()].find(({ instanceId }) => ipOf(instanceId) === each.source);
      if (!each.up || !each.receiving || !source?.up) continue;
      each.received = gtid.union(each.received, source.executed);
      if (each.applying) each.executed = gtid.union(each.executed, each.received);
    }
  };
  const inspect = (me: FakeNode): Inspection => ({
    mysql: {
      up: true,
      seen_ms_ago: 1,
      version: "8.4.6-2",
      server_uuid: uuidOf(me.instanceId),
      incarnation: me.incarnation,
      read_only: me.readOnly,
      super_read_only: me.readOnly,
      gtid_executed: me.executed,
      ...(me.source === undefined
        ? {}
        : {
            replication: {
              source_host: me.source,
              receiver: me.receiving ? ("yes" as const) : ("no" as const),
              applier: me.applying ? ("yes" as const) : ("no" as const),
              auto_position: true,
              received_gtid_set: me.received,
              lag_seconds: 0,
            },
          }),
    },
    oldest_transaction_seconds: 0,
    client_sessions: 2,
  });

  /** What agents do now and then: a replica follows the recorded primary, and an open primary lists who follows it. */
  const agentsAct = async (): Promise<void> => {
    const read = await recorded();
    const { ackers, instance_id, private_ip, wait_count } = read;
    for (const each of nodes.values()) {
      if (!each.up || each.held || !each.readOnly || each.instanceId === instance_id) continue;
      Object.assign(each, { source: private_ip, receiving: true, applying: true });
    }
    replicate();
    if (node(instance_id).readOnly || ackers.length >= wait_count) return;
    const following = [...nodes.values()].filter(({ receiving, source }) => receiving && source === private_ip);
    await topology.amend(
      read,
      { ackers: following.map((each) => ({ instance_id: each.instanceId, incarnation: each.incarnation })) },
      { needsHigherFence: false },
    );
  };
  const elections = new Map<string, Lease>();
  const electionOf = (owner: string): Lease => {
    const known = elections.get(owner) ?? lockOf(shared, "election", owner, "reopening");
    elections.set(owner, known);
    return known;
  };

  const nodeFor = (process: FakeProcess, instanceId: string): ClusterNode => {
    const me = node(instanceId);
    const command = async <T>(name: string, fence: number, work: () => T | Promise<T>): Promise<T> => {
      const unreachable = (why: string): Failure =>
        new Failure("node-unreachable", { message: `${instanceId} did not answer ${name}: ${why}.` });
      if (!process.alive) throw unreachable("the asking process is dead");
      const key = `${instanceId} ${name}`;
      const nth = calls.get(key) ?? 0;
      calls.set(key, nth + 1);
      const fate = change.fate?.({ node: instanceId, command: name, nth }) ?? "done";
      if (!me.up || fate === "refused") throw unreachable(me.up ? "a fault" : "it is down");
      if (fence < me.seenFence) {
        throw new Failure("superseded", { message: `${instanceId} has seen fence ${me.seenFence}, not ${fence}.` });
      }
      me.seenFence = fence;
      did.push(`${instanceId.slice(-1)} ${name}`);
      const answer = await work();
      replicate();
      if (fate === "answer-lost") throw unreachable("the answer was lost");
      return answer;
    };
    return {
      instanceId,
      privateIp: ipOf(instanceId),
      prepare: async () => {},
      inspect: (fence) => command("inspect", fence, () => inspect(me)),
      rotate: (fence) => command("rotate", fence, () => undefined),
      place: (fence, _operation, address) =>
        command("place", fence, () => {
          Object.assign(me, { source: address, receiving: true, applying: true, held: true });
          return { follows: true, because: "placed" };
        }),
      drain: (fence, holdMs) =>
        command("drain", fence, () => {
          me.holdsConnections = holdMs > 0;
        }),
      demote: (fence) =>
        command("demote", fence, () => {
          Object.assign(me, { readOnly: true, held: true });
          return { executed_gtid_set: me.executed, sessions_ended: 2 };
        }),
      apply: (fence, set) =>
        command("apply", fence, () => {
          if (gtid.contains(gtid.union(me.executed, me.received), set)) me.executed = gtid.union(me.executed, set);
          else throw new Failure("timed-out", { message: `${instanceId} has not received ${set}.` });
          return { incarnation: me.incarnation, executed_gtid_set: me.executed };
        }),
      stop: (fence) =>
        command("stop", fence, () => {
          Object.assign(me, { receiving: false, applying: false, held: true });
        }),
      freeze: (fence) =>
        command("freeze", fence, () => {
          me.receiving = false;
          return {
            frozen: true as const,
            instance_id: instanceId,
            server_uuid: uuidOf(instanceId),
            incarnation: me.incarnation,
            received_gtid_set: me.received,
            executed_gtid_set: me.executed,
          };
        }),
      reopen: (fence, because, operationId) =>
        command("reopen", fence, async () => {
          const grant = await electionOf(instanceId).acquire({ deadlineMs: 10_000, fenceAbove: me.seenFence });
          const read = await recorded();
          if (read.instance_id !== instanceId) throw new Failure("superseded", { message: "another is recorded" });
          await topology.amend(
            read,
            {
              fence: grant.fence,
              reason: because,
              ...(operationId === undefined ? {} : { operation_id: operationId }),
            },
            { needsHigherFence: true },
          );
          Object.assign(me, { seenFence: grant.fence, readOnly: false, holdsConnections: false, held: false });
          await grant.release("reopened");
        }),
      open: (fence, rvn) =>
        command("open", fence, async () => {
          const read = await recorded();
          if (read.rvn !== rvn || read.fence !== fence || read.instance_id !== instanceId) {
            throw new Failure("superseded", { message: "the record does not name it" });
          }
          Object.assign(me, { readOnly: false, held: false, source: undefined, receiving: false, applying: false });
          return { executed_gtid_set: me.executed };
        }),
      repoint: (fence, _rvn, set) =>
        command("repoint", fence, async () => {
          const read = await recorded();
          me.held = false;
          if (read.instance_id === instanceId) return { follows: false, because: "it is the recorded primary" };
          if (!me.readOnly) return { follows: false, because: "it is not read-only yet" };
          if (set !== undefined && !gtid.contains(set, me.executed) && !node(read.instance_id).readOnly) {
            return { follows: gtid.contains(node(read.instance_id).executed, me.executed), because: "compared" };
          }
          Object.assign(me, { source: read.private_ip, receiving: true, applying: true });
          return { follows: true, because: "it follows" };
        }),
      nudge: (fence) =>
        command("nudge", fence, async () => {
          if ((await recorded()).fence >= fence) me.holdsConnections = false;
        }),
    };
  };

  const process = (me: string): FakeProcess => {
    const table = store.connect(() => (self.alive ? prompt : cutOff));
    const self: FakeProcess = {
      me,
      alive: true,
      table,
      topology: topologyOf(table),
      lock: (name, purpose) => lockOf(table, name, me, purpose),
      nodeAt: ({ instanceId }) => nodeFor(self, instanceId),
    };
    return self;
  };

  return {
    store,
    clock,
    did,
    node,
    nodes,
    topology,
    recorded,
    agentsAct,
    process,
    /** How often each node was given each command. */
    calls,
    writable: (): string[] => [...nodes.values()].filter((each) => each.up && !each.readOnly).map((e) => e.instanceId),
    electionIsFree: (): boolean => store.items.get(itemKey.lock("election", "c1"))?.owner === undefined,
  };
};
