import { makeClients, regionFrom } from "#actions/lib/aws/clients.ts";
import { clusterInstances } from "#actions/lib/aws/instances.ts";
import { liveOperations, lockItem, operationRecord, topologyRecord } from "#actions/lib/aws/records.ts";
import { ssmRunCommand } from "#actions/lib/aws/ssm.ts";
import { realClock } from "#actions/lib/clock.ts";
import { tableOf } from "#actions/lib/operation/cluster.ts";
import { requestedBy } from "#actions/lib/operation/identity.ts";
import { keepTold, keepWatched } from "#actions/lib/operation/post.ts";
import { failureOfEnded } from "#actions/lib/operation/report.ts";
import type { ActionContext } from "#actions/lib/run.ts";
import { askNode } from "#actions/lib/run-command.ts";
import type { Runner } from "#actions/lib/runner.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { isLive, type OperationRecord } from "#contract/operation.ts";
import { tags } from "#contract/tags.ts";
import { attendTo, look, type OperationSources, type View, watchLocks } from "./flow.ts";
import { logLines, summaryOf } from "./report.ts";
import { type OperationRequest, readRequest } from "./request.ts";

/** How long a node may take to answer a command, milliseconds; SSM itself gives up delivering at 30 s. */
const nodeTimeoutMs = 35_000;

/**
 * Shows an operation and who holds what; then watches it to its end, or asks for its end and watches that.
 *
 * @throws Failure `bad-input`, `unknown-cluster`, `unknown-operation`, those of `attendTo`, and with `attach` and `abort` the one that the
 * ended operation has.
 */
export async function main({ runner, env, signal: cancelled }: ActionContext): Promise<void> {
  const request = readRequest(runner);
  const { clusterId, mode } = request;
  const region = regionFrom(request.region, env);
  const clients = makeClients(region, "operation");
  const ended = new AbortController();
  const signal = AbortSignal.any([cancelled, ended.signal]);
  const command = ssmRunCommand(
    clients,
    `percona-actions operation, run ${env.GITHUB_RUN_ID ?? "outside GitHub"}`,
    signal,
  );
  try {
    const instances = await clusterInstances(clients, clusterId, signal);
    const where = { clusterId, table: tableOf(instances, clusterId) };
    const sources: OperationSources = {
      instances,
      operation: (id) => operationRecord(clients, where, id, signal),
      liveOperations: () => liveOperations(clients, where, signal),
      lock: (name) => lockItem(clients, where, name, signal),
      topology: () => topologyRecord(clients, where, signal),
      ask: (instanceId, Mode, OperationId) =>
        askNode(
          command,
          {
            clusterId,
            operation: "operation",
            instanceId,
            parameters: { Mode, OperationId, RequestedBy: requestedBy(env) },
            timeoutMs: nodeTimeoutMs,
          },
          realClock,
          signal,
        ),
    };
    const seen = await look(request, sources).catch((error: unknown) => {
      throw unknownCluster(error, instances.length, request, region);
    });
    const locks = mode === "show" ? await watchLocks(seen.locks, sources, { clock: realClock, signal }) : seen.locks;
    const view = { ...seen, locks };
    for (const line of logLines(view, new Date())) runner.info(line);
    const [record] = view.operations;
    if (mode === "show" || record === undefined) return await tell(runner, view, record);
    const end = await attendTo(request, record, sources, {
      clock: realClock,
      signal,
      log: (line) => runner.info(line),
      watching: (operationId) => keepWatched(runner, { clusterId, operationId }),
    });
    await tell(runner, end === record ? view : await look(request, sources), end);
    judgeEnd(runner, mode, end);
  } finally {
    keepTold(runner);
    ended.abort(new Error("The work has ended."));
    clients.destroy();
  }
}

/** A cluster that has lost all its instances still has its table; one without either is not known. */
function unknownCluster(error: unknown, instances: number, { clusterId }: OperationRequest, region: string): unknown {
  if (instances > 0 || !(error instanceof Failure) || error.reason !== "table-missing") return error;
  return new Failure("unknown-cluster", {
    message: `No instance in ${region} carries the tag ${tags.clusterId}=${clusterId}. ${error.message}`,
    cause: error,
  });
}

async function tell(runner: Runner, view: View, record: OperationRecord | undefined): Promise<void> {
  runner.output("operation", record === undefined ? "" : JSON.stringify(record));
  runner.output("operations", JSON.stringify(view.operations));
  runner.output("operation-id", record?.operation_id ?? "");
  runner.output("kind", record?.kind ?? "");
  runner.output("state", record?.state ?? "");
  runner.output("live", String(view.operations.some(isLive)));
  runner.output("locks", JSON.stringify(Object.fromEntries(view.locks.map(({ name, item }) => [name, item ?? null]))));
  runner.output("result", JSON.stringify(record?.result ?? {}));
  await runner.summary(summaryOf(view, new Date()));
}

/** An operation that was to end and did is no failure, unless it failed on its own. */
function judgeEnd(runner: Runner, mode: "attach" | "abort", record: OperationRecord): void {
  const { operation_id, state } = record;
  if (mode === "abort" && (state === "aborted" || state === "undone")) return;
  if (mode === "abort" && state === "succeeded") {
    runner.warning({
      title: "Operation: not aborted",
      message: `${operation_id} has succeeded: it had ended, or was past its point of no return. Nothing was undone.`,
    });
    return;
  }
  const failure = failureOfEnded(record);
  if (failure !== undefined) throw failure;
}
