import * as v from "valibot";
import { newestBackup } from "#actions/lib/aws/backups.ts";
import { type AwsClients, makeClients, Region, regionFrom } from "#actions/lib/aws/clients.ts";
import { clusterInstances, lifecycleStates, type SeenInstance } from "#actions/lib/aws/instances.ts";
import { liveOperations, operationLock, topologyRecord } from "#actions/lib/aws/records.ts";
import { ssmRunCommand } from "#actions/lib/aws/ssm.ts";
import { targetsOf } from "#actions/lib/aws/targets.ts";
import { realClock } from "#actions/lib/clock.ts";
import { withDeadline } from "#actions/lib/deadline.ts";
import { Duration } from "#actions/lib/duration.ts";
import { readInputs } from "#actions/lib/inputs.ts";
import type { ActionContext } from "#actions/lib/run.ts";
import { askNode } from "#actions/lib/run-command.ts";
import type { Runner } from "#actions/lib/runner.ts";
import type { ClusterStatus } from "#contract/cluster-status.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { ClusterId, tableName } from "#contract/names.ts";
import { tags } from "#contract/tags.ts";
import { judge } from "./judge.ts";
import { observe, type StatusSources } from "./observe.ts";
import { logLines, summaryOf, worstVerdict } from "./report.ts";

const inputSchemas = {
  "cluster-id": v.optional(ClusterId),
  "aws-region": v.optional(Region),
  "fail-on": v.optional(v.picklist(["never", "critical", "degraded"]), "critical"),
  timeout: v.optional(Duration("10s", "1h"), "2m"),
};

/** A node that has not answered by then is reported as unreachable; SSM itself gives up delivering at 30 s. */
const nodeTimeoutMs = 35_000;

/**
 * Reads one cluster, or all, and says how they do.
 *
 * @throws Failure `bad-input`, `unknown-cluster`, `permission-denied`, `timed-out`, `cluster-unhealthy`, and those of the stores.
 */
export async function main({ runner, env, signal: cancelled }: ActionContext): Promise<void> {
  const inputs = readInputs(runner, inputSchemas);
  const region = regionFrom(inputs["aws-region"], env);
  const deadline = withDeadline(
    cancelled,
    inputs.timeout,
    new Failure("timed-out", {
      message: `The status could not be read within ${inputs.timeout / 1000} s.`,
      next: "Look at what had not answered; raise `timeout` when there are many clusters. Running it again is safe.",
    }),
  );
  const clients = makeClients(region, "status");
  const scope: Scope = {
    clients,
    runner,
    region,
    signal: deadline.signal,
    comment: `percona-actions status, run ${env.GITHUB_RUN_ID ?? "outside GitHub"}`,
    nodeTimeoutMs: Math.min(nodeTimeoutMs, inputs.timeout * 0.8),
  };
  try {
    const clusterId = inputs["cluster-id"];
    const outcomes = clusterId === undefined ? await readAll(scope) : [await readOne(clusterId, scope)];
    const statuses = outcomes.flatMap((outcome) => (outcome instanceof Failure ? [] : [outcome]));
    const failures = outcomes.filter((outcome) => outcome instanceof Failure);
    runner.output("status", JSON.stringify(clusterId === undefined ? statuses : statuses[0]));
    if (statuses.length > 0) {
      putOut(runner, statuses, failures.length === 0);
      await runner.summary(summaryOf(statuses));
      for (const line of statuses.flatMap(logLines)) runner.info(line);
    }
    if (failures[0] !== undefined) throw failures[0];
    complain(runner, statuses, inputs["fail-on"]);
  } finally {
    deadline.end();
    clients.destroy();
  }
}

interface Scope {
  readonly clients: AwsClients;
  readonly runner: Runner;
  readonly region: string;
  readonly signal: AbortSignal;
  readonly comment: string;
  readonly nodeTimeoutMs: number;
}

async function readOne(clusterId: string, scope: Scope): Promise<ClusterStatus> {
  const instances = await clusterInstances(scope.clients, clusterId, scope.signal);
  if (instances.length === 0) await refuseUnknown(clusterId, scope);
  return readCluster(clusterId, instances, scope);
}

/** A cluster that has lost all its instances still has its table. */
async function refuseUnknown(clusterId: string, { clients, region, signal }: Scope): Promise<void> {
  const table = tableName(clusterId);
  const unknown = (about: string): Failure =>
    new Failure("unknown-cluster", {
      message: `No instance in ${region} carries the tag ${tags.clusterId}=${clusterId}, and ${about}.`,
    });
  try {
    const record = await topologyRecord(clients, { clusterId, table }, signal);
    if (record === undefined) throw unknown(`the table ${table} has no topology record`);
  } catch (error) {
    if (error instanceof Failure && error.reason === "table-missing") throw unknown(`there is no table ${table}`);
    if (error instanceof Failure && error.reason === "permission-denied") {
      throw unknown(`the table ${table} may not be read by these credentials`);
    }
    throw error;
  }
}

/** Every cluster that can be read; one that cannot does not hide the others. */
async function readAll(scope: Scope): Promise<(ClusterStatus | Failure)[]> {
  const instances = await clusterInstances(scope.clients, undefined, scope.signal);
  const byCluster = Map.groupBy(instances, (instance) => instance.tags[tags.clusterId] ?? "");
  const ours = [...byCluster].filter(([id, members]) => {
    const known = v.is(ClusterId, id) && members.some((instance) => isOurs(instance));
    if (!known) scope.runner.info(`Left out ${tags.clusterId}=${id}: its instances carry no percona: tag.`);
    return known;
  });
  if (ours.length === 0) {
    throw new Failure("unknown-cluster", {
      message: `No instance in ${scope.region} carries the tag ${tags.clusterId} and the tags of this project.`,
    });
  }
  return Promise.all(
    ours
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([id, members]) =>
        readCluster(id, members, scope).catch((error: unknown) => {
          if (error instanceof Failure) return error;
          throw error;
        }),
      ),
  );
}

const isOurs = (instance: SeenInstance): boolean =>
  Object.keys(instance.tags).some((tag) => tag.startsWith("percona:"));

async function readCluster(
  clusterId: string,
  instances: readonly SeenInstance[],
  scope: Scope,
): Promise<ClusterStatus> {
  const { runner, signal } = scope;
  runner.info(`${clusterId}: ${instances.length} instances in ${scope.region}`);
  const snapshot = await observe(clusterId, instances, awsSources(clusterId, scope), {
    clock: realClock,
    wallClock: () => new Date(),
    signal,
    log: (line) => runner.info(line),
  });
  return judge(snapshot);
}

function awsSources(clusterId: string, scope: Scope): StatusSources {
  const { clients, signal } = scope;
  const ssm = ssmRunCommand(clients, scope.comment, signal);
  return {
    lifecycleStates: (ids) => lifecycleStates(clients, ids, signal),
    targets: (arn) => targetsOf(clients, arn, signal),
    record: (table) => topologyRecord(clients, { clusterId, table }, signal),
    operationLock: (table) => operationLock(clients, { clusterId, table }, signal),
    operations: (table) => liveOperations(clients, { clusterId, table }, signal),
    newestBackup: (bucket, formation) => newestBackup(clients, { bucket, clusterId, formation }, signal),
    ask: (instanceId) =>
      askNode(ssm, { clusterId, operation: "status", instanceId, timeoutMs: scope.nodeTimeoutMs }, realClock, signal),
  };
}

function putOut(runner: Runner, statuses: readonly ClusterStatus[], allRead: boolean): void {
  const verdict = worstVerdict(statuses);
  const [first] = statuses;
  const found = statuses.flatMap((each) => each.disagreements.map((one) => ({ cluster_id: each.cluster_id, ...one })));
  runner.output("verdict", verdict);
  runner.output("healthy", String(allRead && verdict === "healthy"));
  runner.output("primary-instance-id", statuses.length === 1 ? (first?.primary_instance_id ?? "") : "");
  runner.output("disagreements", JSON.stringify(found));
}

/** One annotation for what a person should see, and a failure where `fail-on` says so. */
function complain(runner: Runner, statuses: readonly ClusterStatus[], failOn: "never" | "critical" | "degraded"): void {
  const verdict = worstVerdict(statuses);
  if (verdict === "healthy") return;
  const worst = statuses.filter((status) => status.verdict === verdict);
  const message = worst.map(({ cluster_id, disagreements: [finding] }) =>
    finding === undefined ? `${cluster_id} is ${verdict}.` : `${cluster_id} is ${verdict}: ${finding.seen}`,
  );
  if (failOn === "degraded" || (failOn === "critical" && verdict === "critical")) {
    throw new Failure("cluster-unhealthy", { message: message.join(" ") });
  }
  runner.warning({ title: `Status: ${verdict}`, message: `${message.join(" ")} See the job summary.` });
}
