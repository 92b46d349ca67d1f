import { randomUUID } from "node:crypto";
import { makeClients, regionFrom } from "#actions/lib/aws/clients.ts";
import { clusterInstances, clusterOfInstance } from "#actions/lib/aws/instances.ts";
import { liveOperations, operationRecord, topologyRecord, writeOperation } from "#actions/lib/aws/records.ts";
import { ssmRunCommand } from "#actions/lib/aws/ssm.ts";
import { realClock } from "#actions/lib/clock.ts";
import { tableOf } from "#actions/lib/operation/cluster.ts";
import { defaultOperationId, requestedBy } from "#actions/lib/operation/identity.ts";
import { keepTold, keepWatched } from "#actions/lib/operation/post.ts";
import { failureOfEnded } from "#actions/lib/operation/report.ts";
import { type ActionContext, asFailure } from "#actions/lib/run.ts";
import { askNode } from "#actions/lib/run-command.ts";
import type { Runner } from "#actions/lib/runner.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { tags } from "#contract/tags.ts";
import { changeOf } from "./decided.ts";
import { type Outcome, type SwitchoverSources, switchOver } from "./flow.ts";
import { logLines, planOf, resultOf, summaryOf } from "./report.ts";
import { readRequest } from "./request.ts";

/** How long a node may take to answer a command, milliseconds; SSM itself gives up delivering at 30 s. */
const nodeTimeoutMs = 35_000;

/**
 * Plans a switchover, or applies it and watches it to its end.
 *
 * @throws Failure `bad-input`, `unknown-cluster`, `instance-not-in-cluster`, those of `switchOver`, the plan's first refusal, and the one
 * that the ended operation has.
 */
export async function main({ runner, env, signal }: ActionContext): Promise<void> {
  const request = readRequest(runner);
  const { clusterId, mode } = request;
  const region = regionFrom(request.region, env);
  const operationId = request.operationId ?? defaultOperationId("switchover", env);
  const clients = makeClients(region, "switchover");
  const ended = new AbortController();
  // What is begun is not torn by a cancelled run: only the waiting ends with it. All ends with this function.
  const whole = ended.signal;
  const waiting = AbortSignal.any([signal, whole]);
  const comment = `percona-actions switchover, run ${env.GITHUB_RUN_ID ?? "outside GitHub"}`;
  const command = ssmRunCommand(clients, comment, whole);
  let mayGoOn = false;
  try {
    const instances = await clusterInstances(clients, clusterId, waiting);
    if (instances.length === 0) {
      throw new Failure("unknown-cluster", {
        message: `No instance in ${region} carries the tag ${tags.clusterId}=${clusterId}.`,
      });
    }
    runner.info(`${clusterId}: ${instances.length} instances in ${region}`);
    if (mode === "apply") {
      runner.info(`${clusterId}: operation id ${operationId}`);
      runner.output("operation-id", operationId);
    }
    const where = { clusterId, table: tableOf(instances, clusterId) };
    const sources: SwitchoverSources = {
      instances,
      clusterOf: (id) => clusterOfInstance(clients, id, waiting),
      topology: () => topologyRecord(clients, where, waiting),
      operation: (id) => operationRecord(clients, where, id, waiting),
      liveOperations: () => liveOperations(clients, where, waiting),
      write: (record, replaces) => writeOperation(clients, where, record, replaces, whole),
      ask: (instanceId, document, parameters, stop) =>
        askNode(
          command,
          { clusterId, operation: document, instanceId, parameters, timeoutMs: nodeTimeoutMs },
          realClock,
          stop,
        ),
    };
    const outcome = await switchOver(request, sources, {
      clock: realClock,
      wallClock: () => new Date(),
      unique: randomUUID,
      signal: waiting,
      log: (line) => runner.info(line),
      operationId,
      requestedBy: requestedBy(env),
      watching: (id) => {
        mayGoOn = true;
        keepWatched(runner, { clusterId, operationId: id });
      },
    });
    putOut(runner, outcome);
    await runner.summary(summaryOf(outcome, request, instances));
    for (const line of logLines(outcome, request, instances)) runner.info(line);
    const failure =
      outcome.is === "refused" ? outcome.failure : outcome.is === "ended" ? failureOfEnded(outcome.record) : undefined;
    if (failure !== undefined) throw failure;
  } catch (error) {
    throw mayGoOn ? error : nothingBegun(asFailure(error));
  } finally {
    // Whatever it was, the annotation of this run tells it; the post script is for a run that could not.
    keepTold(runner);
    ended.abort(new Error("The work has ended."));
    clients.destroy();
  }
}

/** A failure from before anything was begun says so, whatever its reason. */
const nothingBegun = ({ reason, message, next, cause }: Failure): Failure =>
  new Failure(reason, { message, next, cause, changed: "Nothing was changed: no operation was begun." });

function putOut(runner: Runner, outcome: Outcome): void {
  const plan = outcome.is === "ended" ? planOf(outcome.record) : outcome.plan;
  runner.output("plan", plan === undefined ? "" : JSON.stringify(plan));
  runner.output("plan-hash", (outcome.is === "ended" ? outcome.record.plan_hash : plan?.hash) ?? "");
  runner.output("changes", plan === undefined ? "" : String(plan.changes));
  runner.output("changed", String(outcome.is === "ended" && hasChanged(outcome)));
  runner.output("state", outcome.is === "ended" ? outcome.record.state : "");
  runner.output("primary-instance-id", primaryOf(outcome) ?? "");
  runner.output("result", outcome.is === "ended" ? JSON.stringify(outcome.record.result ?? {}) : "");
}

/** Whether another node is primary now because of this operation. */
function hasChanged({ record, topology }: Extract<Outcome, { is: "ended" }>): boolean {
  if (record.state === "succeeded") return resultOf(record)?.changed ?? true;
  if (record.state === "undone" || record.state === "aborted") return false;
  return topology?.operation_id === record.operation_id;
}

function primaryOf(outcome: Outcome): string | undefined {
  if (outcome.topology !== undefined) return outcome.topology.instance_id;
  return outcome.is === "ended" ? resultOf(outcome.record)?.after.instance_id : changeOf(outcome.plan, []).primary;
}
