import { Failure } from "#contract/failure-reasons.ts";
import * as gtid from "#contract/gtid.ts";
import type { SwitchoverResult } from "#contract/operation.ts";
import type { Lease } from "../../coordination/lease.ts";
import type { Log } from "../../host/log.ts";
import type { OperationDefinition } from "../../operation/definition.ts";
import type { Probe, SwitchoverContext } from "./context.ts";
import { inspectNodes, type PlanParts, planSwitchover } from "./plan.ts";
import { forcedSteps, switchoverSteps } from "./steps.ts";

/** What a switchover acts through. */
export interface SwitchoverParts extends PlanParts {
  readonly me: string;
  readonly election: Lease;
  readonly log: Log;
  readonly now: () => number;
  readonly startProbe: () => Promise<Probe>;
  readonly pauseRecoveries: () => Promise<void>;
  readonly resumeRecoveries: () => Promise<void>;
}

/** Of a net that is kept for documentation (RFC 5737): whoever connects to it finds nobody. */
const nobodysAddress = "192.0.2.1";

/** How long the end state may take to settle before it is compared, milliseconds. */
const settlePatienceMs = 20_000;

/** Differences between what was asked for and what is there. */
const differences = async (parts: SwitchoverParts, c: SwitchoverContext): Promise<string[]> => {
  const record = await parts.topology.read();
  const wanted = c.candidate.instanceId;
  if (record?.instance_id !== wanted) return [`the record names ${record?.instance_id ?? "nobody"}, not ${wanted}`];
  const nodes = await inspectNodes(parts, record);
  const found: string[] = [];
  const primary = nodes.find((node) => node.instanceId === wanted)?.inspection?.mysql;
  if (!primary?.up || primary.read_only !== false || primary.super_read_only !== false)
    found.push(`${wanted} is not writable`);
  if (primary?.gtid_executed !== undefined && !gtid.contains(primary.gtid_executed, c.goal)) {
    found.push(`${wanted} lacks ${gtid.subtract(c.goal, primary.gtid_executed)}`);
  }
  for (const node of nodes) {
    const mysql = node.inspection?.mysql;
    if (node.instanceId === wanted || !mysql?.up) continue;
    if (mysql.super_read_only !== true) found.push(`${node.instanceId} is writable`);
    if (mysql.replication?.source_host !== record.private_ip || mysql.replication.receiver !== "yes") {
      found.push(`${node.instanceId} does not follow ${wanted} yet`);
    }
  }
  if (record.ackers.length < record.wait_count && !record.degraded) {
    found.push(`${record.ackers.length} of ${record.wait_count} ackers are listed`);
  }
  return found;
};

/** The switchover as an operation. */
export const switchover = (parts: SwitchoverParts): OperationDefinition<SwitchoverContext> => ({
  kind: "switchover",
  plan: (input, operationId) => planSwitchover(parts, input, operationId),
  asApproved: (input, approved) => ({ target: approved.node, ...input }),
  isPast: (operationId, plan, topology) =>
    topology.operation_id === operationId && topology.instance_id === plan.decided.candidate,
  begin: async (operation, plan, record, operationGrant) => {
    const nodes = await inspectNodes(parts, record);
    const candidate = nodes.find((node) => node.instanceId === plan.decided.candidate);
    const past = operation.operation_id === record.operation_id && record.instance_id === candidate?.instanceId;
    const before = plan.decided.primary as string;
    const forced = plan.decided.forced === true;
    const resumes = operation.state === "running";
    if (!candidate && !resumes) {
      throw new Failure("node-unreachable", { message: `${String(plan.decided.candidate)} is not running any more.` });
    }
    const uuid = candidate?.inspection?.mysql.server_uuid;
    if (uuid === undefined && !past && !resumes) {
      throw new Failure("node-unreachable", {
        message: `${String(plan.decided.candidate)} does not answer: ${candidate?.error ?? ""}`,
      });
    }
    const old = nodes.find((node) => node.instanceId === before);
    return {
      operation,
      me: parts.me,
      before: past ? { ...record, instance_id: before, private_ip: old?.privateIp ?? record.private_ip } : record,
      // One that is gone does not hinder what can be undone without it.
      candidate: parts.nodeAt(candidate ?? { instanceId: String(plan.decided.candidate), privateIp: nobodysAddress }),
      candidateUuid: uuid ?? record.server_uuid,
      old: forced || !old ? undefined : parts.nodeAt(old),
      others: nodes
        .filter((node) => node !== candidate && node !== old && node.inspection?.mysql.up)
        .map((node) => parts.nodeAt(node)),
      forced,
      topology: parts.topology,
      election: parts.election,
      operationGrant,
      log: parts.log,
      now: parts.now,
      sleep: parts.sleep,
      startProbe: parts.startProbe,
      pauseRecoveries: parts.pauseRecoveries,
      resumeRecoveries: parts.resumeRecoveries,
      probe: undefined,
      refusedSince: undefined,
      goal: past ? (candidate?.inspection?.mysql.gtid_executed ?? "") : "",
      placed: [],
      readPending: undefined,
      lockPending: undefined,
      ackersPending: undefined,
      ackers: [],
      sessionsEnded: undefined,
      electionGrant: undefined,
      after: past ? record : undefined,
    };
  },
  steps: (c) => (c.forced ? forcedSteps : switchoverSteps),
  result: async (c) => {
    // The probe goes on until it has seen that it can write again.
    const measured = await c.probe?.stop();
    c.probe = undefined;
    const until = c.now() + settlePatienceMs;
    let left = await differences(parts, c);
    while (left.length > 0 && c.now() < until) {
      await c.sleep(250);
      left = await differences(parts, c);
    }
    if (left.length > 0) throw new Failure("verification-failed", { message: `${left.join("; ")}.` });
    const after = (await parts.topology.read()) ?? c.after;
    const result: SwitchoverResult = {
      changed: true,
      before: { instance_id: c.before.instance_id, private_ip: c.before.private_ip, fence: c.before.fence },
      after: {
        instance_id: c.candidate.instanceId,
        private_ip: c.candidate.privateIp,
        fence: after?.fence ?? c.before.fence,
      },
      ...(measured?.refusedMs === undefined ? {} : { writes_refused_ms: Math.round(measured.refusedMs) }),
      ...(measured === undefined ? {} : { probe_errors: measured.errors }),
      ...(c.sessionsEnded === undefined ? {} : { sessions_ended: c.sessionsEnded }),
    };
    return result;
  },
  end: async (c) => {
    await c.probe?.stop().catch(() => {});
    const grant = c.electionGrant ?? (await c.lockPending?.catch(() => undefined));
    await grant?.release("the switchover ended");
    await c.resumeRecoveries();
  },
});
