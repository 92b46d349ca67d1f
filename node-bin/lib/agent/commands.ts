import * as v from "valibot";
import {
  type Applied,
  Apply,
  Attempt,
  Conclude,
  Demote,
  type Demoted,
  Drain,
  Freeze,
  type FreezeAnswer,
  type Inspection,
  Nudge,
  Open,
  type Opened,
  Operate,
  Place,
  Repoint,
  type Repointed,
  Stop,
  StopAcknowledging,
} from "#contract/agent-api.ts";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import { units } from "#contract/names.ts";
import { mayFreeze, primaryHasLetGo } from "../cluster/failover-decision.ts";
import { monotonicMs } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";
import { followPrimary, receiveFromNext } from "./follow.ts";
import { applyForwarding } from "./forwarding.ts";
import { observeMysql } from "./observe.ts";
import { openByCommand, reopen } from "./open.ts";
import { attemptForHook, concludeFromHook } from "./orchestrator-attempt.ts";
import type { CommandHandlers } from "./server.ts";
import { type AgentState, type HoldingOperation, hearsPrimary, mysqlStatus } from "./state.ts";
import { warmLogins } from "./warm-logins.ts";
import { adoptRecord, watchLease, watchRecord } from "./watch.ts";

/** From now on this node waits for what the operation does next. */
const heldFor = (state: AgentState, operationId: string): HoldingOperation => ({
  operationId,
  since: monotonicMs(),
  fence: state.record?.fence ?? 0,
  live: true,
});

const Because = v.object({ because: v.string(), operation_id: v.optional(v.string()) });

const inspect = async (context: AgentContext): Promise<Inspection> => {
  const { mysql, state } = context;
  await observeMysql(context);
  const up = state.mysql.up;
  return {
    mysql: mysqlStatus(state, monotonicMs()),
    oldest_transaction_seconds: up ? await mysql.oldestTransactionSeconds() : 0,
    client_sessions: up ? await mysql.clientSessions() : 0,
  };
};

/**
 * Stops receiving. The fence was noted before, on disk; from then on nothing here starts the receiver again before a recorded
 * fence is as high.
 */
const freeze = async (context: AgentContext, body: unknown, fence: number): Promise<FreezeAnswer> => {
  const { primary, forced } = v.parse(Freeze, body);
  const { identity, log, mysql, state } = context;
  await Promise.all([watchRecord(context), observeMysql(context)]);
  const streamAlive = hearsPrimary(state);
  const { record } = state;
  const letGo = (): boolean => record !== undefined && primaryHasLetGo(state.primaryLease, record);
  if (streamAlive && !forced && !letGo()) await watchLease(context);
  const verdict = mayFreeze({ me: identity.instanceId, record, primary, fence, streamAlive, letGo: letGo(), forced });
  if (!verdict.ok) return { frozen: false, because: verdict.because };
  return context.turn(async () => {
    const before = await mysql.observe();
    if (!before.super_read_only) return { frozen: false, because: "it is not read-only" };
    if (before.replication && before.replication.receiver !== "no") await mysql.stopReceiver();
    const after = await mysql.observe();
    if (after.incarnation !== before.incarnation || (after.replication && after.replication.receiver !== "no")) {
      return { frozen: false, because: "its mysqld was started anew meanwhile" };
    }
    log.warn(`frozen under fence ${fence}: ${primary} is to be replaced`);
    return {
      frozen: true,
      instance_id: identity.instanceId,
      server_uuid: after.server_uuid,
      ...(after.incarnation === undefined ? {} : { incarnation: after.incarnation }),
      received_gtid_set: after.replication?.received_gtid_set ?? "",
      executed_gtid_set: after.gtid_executed,
    };
  });
};

/** Applies what was received until the set is executed. */
const apply = async (context: AgentContext, body: unknown): Promise<Applied> => {
  const { gtid_set, timeout_ms, then_stop } = v.parse(Apply, body);
  const { log, mysql, state } = context;
  if (state.mysql.replication?.applier === "no" && !(await mysql.hasExecuted(gtid_set))) {
    await mysql.startReplication({ applierOnly: true });
  }
  await mysql.waitForExecuted(gtid_set, timeout_ms);
  if (then_stop !== undefined) {
    state.heldBy = heldFor(state, then_stop);
    // Whoever needs it to be done sends `stop`, which has its turn after this.
    void context
      .turn(() => mysql.stopReplication())
      .catch((error: unknown) => log.warn(`stopping: ${messageOf(error)}`));
  }
  // Of the life that has executed it: one that was started anew has done so, too, or has lost this session.
  const incarnation = await mysql.incarnation();
  return { ...(incarnation === undefined ? {} : { incarnation }), executed_gtid_set: gtid_set };
};

/** Read-only, then the sessions are ended, all under an operation; the server is as writable as before when it fails. */
const demote = async (context: AgentContext, body: unknown): Promise<Demoted> => {
  const { operation_id, timeout_ms } = v.parse(Demote, body);
  const { identity, log, mysql, state } = context;
  if (state.record?.instance_id !== identity.instanceId) {
    throw new Failure("superseded", { message: `${identity.instanceId} is not the recorded primary.` });
  }
  // Before it is read-only, so that the decisions do not open it again at once.
  state.heldBy = heldFor(state, operation_id);
  try {
    return await context.turn(async () => {
      // Counted before, because whoever asked waits for the answer while nobody can write.
      const sessions = await mysql.clientSessions();
      await mysql.setSuperReadOnly({ timeoutMs: timeout_ms });
      state.mysql = { ...state.mysql, read_only: true, super_read_only: true };
      const executed = await mysql.executedSet();
      // Nobody can write any more, so nobody waits for the sessions to be gone.
      void mysql.endClientSessions().catch((error: unknown) => log.warn(`sessions: ${String(error)}`));
      log.warn(`read-only for operation ${operation_id}; ends ${sessions} sessions`);
      return { executed_gtid_set: executed, sessions_ended: sessions };
    });
  } catch (error) {
    state.heldBy = undefined;
    throw error;
  }
};

const open = async (context: AgentContext, body: unknown, fence: number): Promise<Opened> => {
  const { rvn, since_ms } = v.parse(Open, body);
  const { state } = context;
  if (since_ms !== undefined) state.noticedAt = monotonicMs() - since_ms;
  await context.turn(() => openByCommand(context, rvn, fence));
  return { executed_gtid_set: state.mysql.gtid_executed ?? "" };
};

const place = async (context: AgentContext, body: unknown): Promise<Repointed> => {
  const { operation_id, private_ip } = v.parse(Place, body);
  const { state } = context;
  return context.turn(async () => {
    const { record } = state;
    if (!record) return { follows: false, because: "it has not read the topology record" };
    state.heldBy = heldFor(state, operation_id);
    const placed = await receiveFromNext(context, record, private_ip);
    if (!placed.follows) state.heldBy = undefined;
    return placed;
  });
};

const repoint = async (context: AgentContext, body: unknown): Promise<Repointed> => {
  const { rvn, primary_gtid_set } = v.parse(Repoint, body);
  const { identity, state } = context;
  if (state.record?.rvn !== rvn) await watchRecord(context);
  return context.turn(async () => {
    const { record } = state;
    state.heldBy = undefined;
    if (!record || record.instance_id === identity.instanceId) {
      return { follows: false, because: "it is the recorded primary" };
    }
    return followPrimary(context, record, primary_gtid_set);
  });
};

/** What this agent does when another node's agent, or an operation, tells it to. */
export const commandHandlers = (context: AgentContext): CommandHandlers => {
  const { mysql, state } = context;
  return {
    inspect: () => inspect(context),
    freeze: (body, fence) => freeze(context, body, fence),
    apply: (body) => apply(context, body),
    rotate: () => context.turn(() => mysql.flushBinaryLogs()),
    stop: async (body) => {
      const { operation_id } = v.parse(Stop, body);
      state.heldBy = heldFor(state, operation_id);
      await context.turn(() => mysql.stopReplication());
    },
    place: (body) => place(context, body),
    demote: (body) => demote(context, body),
    reopen: async (body) => {
      const { because, operation_id } = v.parse(Because, body);
      await context.turn(() =>
        reopen(context, because, operation_id === undefined ? {} : { operationId: operation_id }),
      );
    },
    open: (body, fence) => open(context, body, fence),
    attempt: (body) => attemptForHook(context, v.parse(Attempt, body)),
    conclude: (body) => concludeFromHook(context, v.parse(Conclude, body)),
    repoint: (body) => repoint(context, body),
    drain: async (body) => {
      const { hold_ms } = v.parse(Drain, body);
      // What comes next is in a hurry.
      if (state.mysql.up) await Promise.all([mysql.warmUp().catch(() => {}), warmLogins(context)]);
      state.drainingUntil = hold_ms === 0 ? Number.NEGATIVE_INFINITY : monotonicMs() + hold_ms;
      await applyForwarding(context);
    },
    nudge: async (body, fence) => {
      const { opened, record } = v.parse(Nudge, body);
      if (opened !== undefined && opened > state.openedFence) {
        state.openedFence = opened;
        state.drainingUntil = Number.NEGATIVE_INFINITY;
      }
      // What was written a moment ago is the record for whoever knows an older one; reading it would keep connections waiting.
      if (record?.fence === fence && fence > (state.record?.fence ?? 0)) adoptRecord(context, record);
      else if (record?.fence !== state.record?.fence) await Promise.all([watchRecord(context), watchLease(context)]);
      await applyForwarding(context);
      context.waker.wake();
    },
    operate: async (body) => context.startOperation(v.parse(Operate, body).operation_id),
    acknowledge: async (body) => {
      const { rvn } = v.parse(StopAcknowledging, body);
      state.stoppedAtRvn = rvn;
      await context.turn(async () => {
        if (state.mysql.up) await mysql.setAcknowledging(false);
      });
    },
  };
};

/** Read-only before any session is freed; a deadline, then SIGKILL. The caller holds the turn. */
export const demoteAlone = async (context: AgentContext, because: string, deadlineMs: number): Promise<void> => {
  const { log, mysql, services, state } = context;
  log.warn(`demoting: ${because}`);
  state.heldBy = undefined;
  try {
    await mysql.setSuperReadOnly({ timeoutMs: deadlineMs });
  } catch (error) {
    // Switching semi-sync off instead would tell those whose commits wait that a lost write is safe.
    log.warn(`mysqld did not become read-only: ${messageOf(error)}; killing it`);
    await services.kill(units.mysql, "SIGKILL");
    return;
  }
  await mysql.endClientSessions();
  await mysql.setSourceSemiSync({ on: false });
};
