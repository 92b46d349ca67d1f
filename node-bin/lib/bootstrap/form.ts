import { Failure, messageOf } from "#contract/failure-reasons.ts";
import { units } from "#contract/names.ts";
import { type Acker, type TopologyRecord, waitCountFor } from "#contract/topology.ts";
import type { BootstrapDecision } from "../cluster/bootstrap-decision.ts";
import type { Grant } from "../coordination/lease.ts";
import { keepTimeline } from "../coordination/timelines.ts";
import { waitFor } from "../host/wait.ts";
import type { MysqlObservation } from "../mysql/server.ts";
import { adoptData, initialiseData } from "./build-data.ts";
import type { BootstrapContext } from "./context.ts";

type DataSource = Extract<BootstrapDecision, { step: "form" | "take-over" }>["data"];

/** How long a node waits for another's election to end, milliseconds. Elections take seconds; nothing long is done under the lock. */
const electionPatienceMs = 120_000;

/** Starts mysqld and waits until it answers. */
export const startMysql = async (context: BootstrapContext): Promise<MysqlObservation> => {
  await context.step("starting mysqld");
  await context.services.start(units.mysql);
  let last = "no answer yet";
  return waitFor(
    "mysqld to answer on its socket",
    async () =>
      context.mysql.observe().catch((error: unknown) => {
        if (error instanceof Failure && error.reason === "credentials-refused") throw error;
        last = messageOf(error);
        return undefined;
      }),
    { everyMs: 100, deadlineMs: 600_000, lastSeen: () => last, signal: context.signal },
  );
};

const provideData = async (
  context: BootstrapContext,
  source: DataSource,
  grant: Grant,
  formation: number,
  serverId: number,
): Promise<void> => {
  switch (source) {
    case "initialise":
      return initialiseData(context, grant, serverId);
    case "adopt":
      return adoptData(context, formation, { serverId });
    case "own": {
      const found = await context.data.look();
      if (found.kind !== "ours")
        throw new Failure("internal", { message: "The data directory changed while it was looked at." });
      return context.data.mark({ ...found.marker, formation });
    }
  }
};

const underElection = async <T>(
  context: BootstrapContext,
  purpose: string,
  fenceAbove: number,
  work: (grant: Grant) => Promise<T>,
): Promise<T> => {
  await context.step(`waiting for the election lock: ${purpose}`);
  const grant = await context.election.acquire({ deadlineMs: electionPatienceMs, signal: context.signal, fenceAbove });
  grant.startRenewing();
  try {
    const result = await work(grant);
    await grant.release(`${purpose}: done`);
    return result;
  } catch (error) {
    await grant.release(`${purpose}: failed`);
    throw error;
  }
};

const primaryFields = (context: BootstrapContext, observed: MysqlObservation, fence: number) => ({
  instance_id: context.identity.instanceId,
  private_ip: context.identity.privateIp,
  server_uuid: observed.server_uuid,
  fence,
  ackers: [] as Acker[],
  wait_count: waitCountFor(context.config.instance_count),
});

/** Becomes the first primary. The record is created only if there is still none; data of a loser are set aside by the next decision. */
export const formCluster = async (context: BootstrapContext, source: DataSource, serverId: number): Promise<void> => {
  const { catalog, flags, highestFence, log, topology } = context;
  await underElection(context, "forming the cluster", 0, async (grant) => {
    if (await topology.read()) return;
    if (!flags.initialiseEmpty && (await catalog.clusterHasData())) return;
    await provideData(context, source, grant, grant.fence, serverId);
    const observed = await startMysql(context);
    grant.assertHeld();
    await highestFence.raise(grant.fence);
    const created = await topology.create({
      kind: "async",
      phase: "forming",
      ...primaryFields(context, observed, grant.fence),
      formation: grant.fence,
      timeline: 1,
      branch_gtid_set: "",
      reason: "the cluster was formed",
    });
    if (created.outcome === "superseded") {
      throw new Failure("superseded", {
        message: `${created.current?.instance_id ?? "Another node"} formed the cluster meanwhile; this node's data directory is set aside.`,
      });
    }
    log.info(`formed the cluster under fence ${grant.fence}; it serves nobody until its first backup is durable`);
    await keepTimeline(context.bucket, context.config.cluster_id, created.record);
  });
};

/** Waits until everything received is applied, then forgets the old source. */
const leaveSource = async (context: BootstrapContext, observed: MysqlObservation): Promise<void> => {
  if (!observed.replication) return;
  const { mysql } = context;
  await mysql.stopReceiver();
  await mysql.startReplication({ applierOnly: true });
  await mysql.waitForExecuted(observed.replication.received_gtid_set, 60_000);
  await mysql.stopReplication();
  await mysql.resetReplication();
};

/** Replaces a first primary that died while nobody was served yet. With own data a new timeline begins; without, a new formation. */
export const takeOverFormation = async (
  context: BootstrapContext,
  source: DataSource,
  seen: TopologyRecord,
  serverId: number,
): Promise<void> => {
  const { highestFence, identity, log, mysql, primaryWatch, topology } = context;
  await underElection(context, `taking over from ${seen.instance_id}`, seen.fence, async (grant) => {
    const record = await topology.read();
    // What was seen before the lock was taken may have changed while waiting for it.
    if (record?.rvn !== seen.rvn || record.phase !== "forming") return;
    if (record.instance_id !== identity.instanceId && (await primaryWatch.look(record)) !== "stale") return;
    const formation = source === "own" ? record.formation : grant.fence;
    await provideData(context, source, grant, formation, serverId);
    const started = await startMysql(context);
    if (source === "own") await leaveSource(context, started);
    const observed = await mysql.observe();
    grant.assertHeld();
    await highestFence.raise(grant.fence);
    const written = await topology.amend(
      record,
      {
        ...primaryFields(context, observed, grant.fence),
        formation,
        timeline: record.timeline + 1,
        branch_gtid_set: source === "own" ? observed.gtid_executed : "",
        failover_from: record.instance_id,
        reason: `${record.instance_id} stopped renewing its lease while it formed the cluster`,
      },
      { needsHigherFence: true },
    );
    if (written.outcome === "superseded") {
      throw new Failure("superseded", {
        message: `${written.current?.instance_id ?? "Another node"} was recorded meanwhile under fence ${written.current?.fence ?? "?"}.`,
      });
    }
    log.info(
      `took the formation over from ${record.instance_id} under fence ${grant.fence}, timeline ${written.record.timeline}`,
    );
    await keepTimeline(context.bucket, context.config.cluster_id, written.record);
  });
};
