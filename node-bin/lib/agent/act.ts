import { units } from "#contract/names.ts";
import { decideAgent } from "../cluster/agent-decision.ts";
import { monotonicMs } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";
import { leadOnce } from "./lead.ts";
import { observeMysql } from "./observe.ts";
import { mysqlStatus, noteRecord, staleAfterMs } from "./state.ts";

/** How long a demotion may wait for commits that wait for an acknowledgement, milliseconds. */
const demotionDeadlineMs = 5000;

/** How long an agent waits for another's election before it looks again, milliseconds. */
const electionPatienceMs = 10_000;

/**
 * Read-only before any session is freed. When commits that wait for an acknowledgement hold it up, mysqld is killed:
 * switching semi-sync off instead would tell those clients that a lost write is safe.
 */
const demote = async (context: AgentContext, because: string): Promise<void> => {
  const { log, mysql, services } = context;
  log.warn(`demoting: ${because}`);
  try {
    await mysql.setSuperReadOnly({ timeoutMs: demotionDeadlineMs });
  } catch (error) {
    log.warn(`mysqld did not become read-only: ${error instanceof Error ? error.message : String(error)}; killing it`);
    await services.kill(units.mysql, "SIGKILL");
    return;
  }
  await mysql.endClientSessions();
  await mysql.setSourceSemiSync({ on: false });
};

/** Takes a new fence for the recorded primary, this node, and opens it. */
const reopen = async (context: AgentContext, because: string): Promise<void> => {
  const { election, highestFence, identity, log, mysql, state, topology } = context;
  const grant = await election.acquire({
    deadlineMs: electionPatienceMs,
    signal: context.signal,
    fenceAbove: context.state.record?.fence ?? 0,
  });
  grant.startRenewing();
  try {
    const record = await topology.read();
    const observed = await mysql.observe();
    if (record?.instance_id !== identity.instanceId || record.server_uuid !== observed.server_uuid) {
      log.warn("not opening: the record changed while this node waited for the election lock");
      return;
    }
    await highestFence.raise(grant.fence);
    const written = await topology.write(
      { ...record, private_ip: identity.privateIp, fence: grant.fence, reason: `reopened: ${because}` },
      { readRvn: record.rvn, needsHigherFence: true },
    );
    if (written.outcome === "superseded") {
      log.warn("not opening: the record was changed by another at the same moment");
      return;
    }
    noteRecord(state, written.record);
    // While forming there are no ackers yet, and nobody is served; the first ackers are listed with it on.
    if (record.phase === "serving") await mysql.setSourceSemiSync({ on: true, waitCount: record.wait_count });
    grant.assertHeld();
    await mysql.open();
    log.info(`opened under fence ${grant.fence}: ${because}`);
  } finally {
    await grant.release("opening ended");
  }
};

/** A bootstrap that could not help is not asked for again at once, milliseconds. */
const askAgainAfterMs = 10_000;

const bootstrapAgain = async (context: AgentContext, because: string): Promise<void> => {
  const { state } = context;
  if (monotonicMs() - state.askedForBootstrapAt < askAgainAfterMs) return;
  state.askedForBootstrapAt = monotonicMs();
  context.log.info(`starting the bootstrap again: ${because}`);
  await context.services.restartLater(units.bootstrap);
};

/** One decision about the own mysqld, and its effect; what it changed is looked at before the next one. */
export const actOnce = async (context: AgentContext): Promise<void> => {
  if (await actOn(context)) await observeMysql(context);
};

/** Answers whether mysqld was changed. */
const actOn = async (context: AgentContext): Promise<boolean> => {
  const { identity, log, mysql, state } = context;
  const now = monotonicMs();
  const seen = mysqlStatus(state, now);
  if (seen.seen_ms_ago > staleAfterMs) return false;
  const decision = decideAgent({
    me: identity.instanceId,
    record: state.record,
    mysql: seen,
    dataFormation: state.dataFormation,
    joined: state.bootstrap?.state === "joined",
    stoppedAtRvn: state.stoppedAtRvn,
  });
  // Goals are places in this server's own log, of this time as primary.
  if (decision.act !== "lead") state.replicas.clear();
  switch (decision.act) {
    case "nothing":
      return false;
    case "demote":
      await demote(context, decision.because);
      return true;
    case "reopen":
      await reopen(context, decision.because);
      return true;
    case "acknowledge":
      log.info(`${decision.on ? "beginning" : "ceasing"} to acknowledge: ${decision.because}`);
      await mysql.setAcknowledging(decision.on);
      return true;
    case "start-replication":
      log.info(`starting replication: ${decision.because}`);
      await mysql.startReplication();
      return true;
    case "bootstrap-again":
      await bootstrapAgain(context, decision.because);
      return false;
    case "lead":
      return leadOnce(context);
  }
};
