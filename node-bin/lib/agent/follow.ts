import { accountNames } from "#contract/credentials.ts";
import * as gtid from "#contract/gtid.ts";
import { units } from "#contract/names.ts";
import { ports } from "#contract/ports.ts";
import { isListed, type TopologyRecord } from "#contract/topology.ts";
import { monotonicMs } from "../host/wait.ts";
import type { MysqlObservation } from "../mysql/server.ts";
import type { AgentContext } from "./context.ts";
import { observeMysql } from "./observe.ts";

/** A bootstrap that could not help is not asked for again at once, milliseconds. */
const askAgainAfterMs = 10_000;

/** Starts the bootstrap again, which compares data, saves what is this node's own, and restores. */
export const bootstrapAgain = async (context: AgentContext, because: string): Promise<void> => {
  const { state } = context;
  if (monotonicMs() - state.askedForBootstrapAt < askAgainAfterMs) return;
  state.askedForBootstrapAt = monotonicMs();
  context.log.info(`starting the bootstrap again: ${because}`);
  await context.services.restartLater(units.bootstrap);
};

/** What the recorded primary has executed, once it is open under its fence; before that it may still be applying. */
const primarySetOf = async (context: AgentContext, record: TopologyRecord): Promise<string | undefined> => {
  const status = await context.agents.status(record.private_ip).catch(() => undefined);
  const opened = status?.record?.fence === record.fence && status.mysql.up && status.mysql.read_only === false;
  return opened ? status.mysql.gtid_executed : undefined;
};

/** Listed in this incarnation, and not told to stop under this version of the record. */
const mayAcknowledge = (
  { identity, state }: AgentContext,
  record: TopologyRecord,
  observed: MysqlObservation,
): boolean => state.stoppedAtRvn !== record.rvn && isListed(record, identity.instanceId, observed.incarnation);

const receiveFrom = async (
  context: AgentContext,
  address: string,
  { server_id }: MysqlObservation,
  acknowledge: boolean,
): Promise<void> => {
  const { config, identity, mysql } = context;
  const credentials = await context.credentials();
  await mysql.follow(
    {
      host: address,
      port: ports.mysql,
      user: accountNames.replication(server_id),
      password: credentials.replication,
      tls: config.mysql.replication_tls === "required",
      bind: identity.privateIp,
    },
    { acknowledge },
  );
};

/** What came of following. */
export interface Followed {
  readonly follows: boolean;
  readonly because: string;
}

const refused = (because: string): Followed => ({ follows: false, because });

/**
 * Makes this node follow the recorded primary, and keeps what it received and has not applied. One that has what the primary
 * does not have goes to the bootstrap, which looks at it. `primarySet`: what the primary has executed, when the caller knows.
 * The caller holds the turn.
 */
export const followPrimary = async (
  context: AgentContext,
  record: TopologyRecord,
  primarySet?: string,
): Promise<Followed> => {
  const { highestFence, log, mysql } = context;
  if (highestFence.current() > record.fence) return refused(`it is frozen under fence ${highestFence.current()}`);
  const observed = await mysql.observe();
  if (!observed.super_read_only) return refused("it is not read-only yet");
  const { replication } = observed;
  if (
    replication?.source_host === record.private_ip &&
    replication.receiver !== "no" &&
    replication.applier === "yes"
  ) {
    return { follows: true, because: "it follows the primary already" };
  }
  if (observed.semi_sync?.source_enabled) await mysql.setSourceSemiSync({ on: false, unhurried: true });
  const theirs = primarySet ?? (await primarySetOf(context, record));
  if (theirs === undefined) return refused("the primary has not said yet what it has executed");
  const mine = gtid.union(observed.gtid_executed, replication?.received_gtid_set ?? "");
  const errant = gtid.ofOthers(gtid.subtract(mine, theirs), record.server_uuid);
  if (!gtid.isEmpty(errant)) {
    const because = `it has ${errant}, which the primary ${record.instance_id} does not have`;
    await bootstrapAgain(context, because);
    return refused(because);
  }
  // One without replication gets another incarnation by being given a source.
  await receiveFrom(
    context,
    record.private_ip,
    observed,
    mayAcknowledge(context, record, observed) && replication !== undefined,
  );
  log.info(`follows ${record.instance_id} under fence ${record.fence}`);
  await observeMysql(context);
  return { follows: true, because: `it follows ${record.instance_id}` };
};

/**
 * Receives from the next primary while that is still a replica itself: what it logs is what the recorded primary wrote. Listed or not
 * stays as it is. The caller holds the turn.
 */
export const receiveFromNext = async (
  context: AgentContext,
  record: TopologyRecord,
  address: string,
): Promise<Followed> => {
  const { highestFence, mysql } = context;
  if (highestFence.current() > record.fence) return refused(`it is frozen under fence ${highestFence.current()}`);
  const observed = await mysql.observe();
  const { replication } = observed;
  if (!observed.super_read_only || replication?.source_host !== record.private_ip || replication.receiver !== "yes") {
    return refused("it does not follow the primary");
  }
  await receiveFrom(context, address, observed, mayAcknowledge(context, record, observed));
  await observeMysql(context);
  return { follows: true, because: `it receives from ${address}` };
};
