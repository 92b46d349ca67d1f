import * as v from "valibot";
import {
  type AgentCommandName,
  Applied,
  Demoted,
  FreezeAnswer,
  Inspection,
  Opened,
  Repointed,
} from "#contract/agent-api.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { AgentClient } from "../agent-client/client.ts";

/**
 * One node as the steps of a promotion see it: commands to its agent, each under a fence. Errors of all: `node-unreachable`,
 * `superseded` when it has seen a higher fence, and what the agent itself failed with.
 */
export interface ClusterNode {
  readonly instanceId: string;
  readonly privateIp: string;
  /** Has the next command take one round trip less. */
  prepare(): Promise<void>;
  inspect(fence: number): Promise<Inspection>;
  freeze(fence: number, primary: string, options?: { readonly forced?: boolean }): Promise<FreezeAnswer>;
  /** Waits until the set is executed there, and may begin to stop its replication for an operation then. Error: `timed-out`. */
  apply(
    fence: number,
    gtidSet: string,
    timeoutMs: number,
    options?: { readonly thenStopFor?: string },
  ): Promise<Applied>;
  /** Stops its replication, which stays so while the operation lives. */
  stop(fence: number, operationId: string): Promise<void>;
  /** Has it receive from the next primary while the operation lives. */
  place(fence: number, operationId: string, address: string): Promise<Repointed>;
  demote(fence: number, operationId: string, timeoutMs: number): Promise<Demoted>;
  /** Takes a new fence for the recorded primary and opens it. */
  reopen(fence: number, because: string, operationId?: string): Promise<void>;
  /** Begins a new binlog file. */
  rotate(fence: number): Promise<void>;
  open(fence: number, rvn: string, sinceMs: number | undefined): Promise<Opened>;
  repoint(fence: number, rvn: string, primarySet?: string): Promise<Repointed>;
  /** Holds connections that arrive for this time, milliseconds; 0 ends it. */
  drain(fence: number, holdMs: number): Promise<void>;
  /** `opened`: the primary of this record, which was just written, accepts writes. Without it the record is read now. */
  nudge(fence: number, opened?: TopologyRecord): Promise<void>;
}

/** How long commands may take that change mysqld and have no time of their own, milliseconds. */
const changeTimeoutMs = 10_000;
/** What a command with a time of its own is given beyond it, milliseconds. */
const graceMs = 2000;

/** The node whose agent listens at this address. */
export const clusterNode = (
  agents: AgentClient,
  { instanceId, privateIp }: { readonly instanceId: string; readonly privateIp: string },
): ClusterNode => {
  const command = (name: AgentCommandName, fence: number, body: unknown, timeoutMs?: number): Promise<unknown> =>
    agents.command(privateIp, name, fence, body, timeoutMs === undefined ? {} : { timeoutMs });
  return {
    instanceId,
    privateIp,
    prepare: () => agents.prepare(privateIp),
    inspect: async (fence) => v.parse(Inspection, await command("inspect", fence, {})),
    freeze: async (fence, primary, { forced = false } = {}) =>
      v.parse(FreezeAnswer, await command("freeze", fence, { primary, forced }, changeTimeoutMs)),
    apply: async (fence, gtidSet, timeoutMs, { thenStopFor } = {}) => {
      const body = {
        gtid_set: gtidSet,
        timeout_ms: timeoutMs,
        ...(thenStopFor === undefined ? {} : { then_stop: thenStopFor }),
      };
      return v.parse(Applied, await command("apply", fence, body, timeoutMs + graceMs));
    },
    stop: async (fence, operationId) =>
      void (await command("stop", fence, { operation_id: operationId }, changeTimeoutMs)),
    place: async (fence, operationId, address) =>
      v.parse(
        Repointed,
        await command("place", fence, { operation_id: operationId, private_ip: address }, changeTimeoutMs),
      ),
    demote: async (fence, operationId, timeoutMs) =>
      v.parse(
        Demoted,
        await command(
          "demote",
          fence,
          { operation_id: operationId, timeout_ms: timeoutMs },
          timeoutMs + changeTimeoutMs,
        ),
      ),
    reopen: async (fence, because, operationId) => {
      const body = { because, ...(operationId === undefined ? {} : { operation_id: operationId }) };
      await command("reopen", fence, body, changeTimeoutMs);
    },
    rotate: async (fence) => void (await command("rotate", fence, {}, changeTimeoutMs)),
    open: async (fence, rvn, sinceMs) =>
      v.parse(
        Opened,
        await command("open", fence, { rvn, ...(sinceMs === undefined ? {} : { since_ms: sinceMs }) }, changeTimeoutMs),
      ),
    repoint: async (fence, rvn, primarySet) =>
      v.parse(
        Repointed,
        await command(
          "repoint",
          fence,
          { rvn, ...(primarySet === undefined ? {} : { primary_gtid_set: primarySet }) },
          changeTimeoutMs,
        ),
      ),
    drain: async (fence, holdMs) => void (await command("drain", fence, { hold_ms: holdMs })),
    nudge: async (fence, record) =>
      void (await command("nudge", fence, record === undefined ? {} : { opened: record.fence, record })),
  };
};
