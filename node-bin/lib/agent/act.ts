import { Failure } from "#contract/failure-reasons.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { decideAgent } from "../cluster/agent-decision.ts";
import { monotonicMs } from "../host/wait.ts";
import { demoteAlone } from "./commands.ts";
import type { AgentContext } from "./context.ts";
import { bootstrapAgain, followPrimary } from "./follow.ts";
import { observeMysql } from "./observe.ts";
import { reopen } from "./open.ts";
import { mysqlStatus, staleAfterMs } from "./state.ts";

/** How long a demotion may wait for commits that wait for an acknowledgement, milliseconds. */
const demotionDeadlineMs = 5000;

/** Opens this node, unless an election is under way: then the record is looked at again after it. */
const reopenSoon = async (context: AgentContext, because: string): Promise<void> => {
  try {
    const held = context.state.heldBy;
    await reopen(context, `reopened: ${because}`, {
      patienceMs: 0,
      // An operation that was not ended by itself finds its own id, and so that it was undone.
      ...(held ? { operationId: held.operationId } : {}),
    });
  } catch (error) {
    if (!(error instanceof Failure && error.reason === "lock-held")) throw error;
    context.log.debug(error.message);
  }
};

/** Answers whether mysqld was changed. */
const actOn = async (context: AgentContext): Promise<boolean> => {
  const { highestFence, identity, log, mysql, state } = context;
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
    highestFence: highestFence.current(),
    heldByOperation: state.heldBy?.live === true,
  });
  // Goals are places in this server's own log, of this time as primary.
  if (decision.act !== "lead") state.replicas.clear();
  switch (decision.act) {
    case "nothing":
    case "lead":
      return false;
    case "demote":
      await demoteAlone(context, decision.because, demotionDeadlineMs);
      return true;
    case "reopen":
      await reopenSoon(context, decision.because);
      return true;
    case "end-source-role":
      await mysql.setSourceSemiSync({ on: false, unhurried: true });
      return true;
    case "follow": {
      const { follows, because } = await followPrimary(context, state.record as TopologyRecord);
      if (!follows) log.debug(`does not follow yet: ${because}`);
      return follows;
    }
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
  }
};

/** One decision about the own mysqld, and its effect; what it changed is looked at before the next one. */
export const actOnce = (context: AgentContext): Promise<void> =>
  // What was decided before a command was carried out is not done after it.
  context.turn(async () => {
    if (await actOn(context)) await observeMysql(context);
  });
