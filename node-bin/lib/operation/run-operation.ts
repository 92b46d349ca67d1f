import * as v from "valibot";
import { Failure, failureReport } from "#contract/failure-reasons.ts";
import { isLive, lockPurpose, OperationPlan, type OperationRecord, type OperationState } from "#contract/operation.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { Journal } from "../coordination/journal.ts";
import type { Grant, Lease } from "../coordination/lease.ts";
import type { Topology } from "../coordination/topology.ts";
import type { Log } from "../host/log.ts";
import type { OperationDefinition } from "./definition.ts";
import { keepRecord, type RecordKeeper } from "./record-keeper.ts";
import { runSteps, type StepRun, type StepsOutcome, undoSteps } from "./run-steps.ts";
import type { StopPoint } from "./step.ts";

/** What the runner acts through. */
export interface OperationParts {
  readonly me: string;
  readonly journal: Journal;
  readonly topology: Topology;
  readonly operationLock: (purpose: string) => Lease;
  readonly log: Log;
  readonly now: () => Date;
  readonly monotonic: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly stopAt: (point: StopPoint) => Promise<void>;
  readonly signal: AbortSignal;
}

/** How long the lock is waited for: a lease and some. A runner that died holds it until it is stale, milliseconds. */
const lockPatienceMs = 8000;
const heartbeatEveryMs = 5000;

const planOf = (record: OperationRecord): OperationPlan => {
  const parsed = v.safeParse(OperationPlan, JSON.parse(record.plan ?? "null"));
  if (parsed.success) return parsed.output;
  throw new Failure("record-malformed", { message: `Operation ${record.operation_id} has no plan that can be read.` });
};

const recordedTopology = async (topology: Topology): Promise<TopologyRecord> => {
  const record = await topology.read();
  if (record) return record;
  throw new Failure("cluster-unhealthy", { message: "The cluster has no topology record." });
};

/** Refuses what is not the plan that was approved, or what may not be done now. */
const checkPlan = (fresh: OperationPlan, approved: OperationPlan, expectedHash: unknown): void => {
  const expected = typeof expectedHash === "string" ? expectedHash : approved.hash;
  if (fresh.hash !== expected) {
    throw new Failure("plan-changed", {
      message: `The plan made now has the hash ${fresh.hash}, and ${expected} was approved: nodes, roles, versions, the candidate or the parameters are not what they were.`,
    });
  }
  const [refusal] = fresh.refusals;
  if (refusal) throw new Failure(refusal.reason, { message: refusal.message });
};

const endState = (outcome: StepsOutcome, aborted: boolean): OperationState => {
  switch (outcome.outcome) {
    case "done":
      return "succeeded";
    case "undone":
      return aborted ? "aborted" : "undone";
    case "superseded":
      return "superseded";
    case "failed":
      return "failed";
  }
};

const keepBeating = (keeper: RecordKeeper, parts: OperationParts, until: AbortSignal): void => {
  const timer = setInterval(() => {
    keeper.change({ heartbeat_at: parts.now().toISOString() }).catch(() => {});
  }, heartbeatEveryMs);
  until.addEventListener("abort", () => clearInterval(timer));
};

const runUnderLock = async <C>(
  definition: OperationDefinition<C>,
  parts: OperationParts,
  keeper: RecordKeeper,
  grant: Grant,
): Promise<StepsOutcome & { readonly result?: Readonly<Record<string, unknown>> }> => {
  const { log, monotonic, sleep, stopAt, topology } = parts;
  const record = keeper.current();
  const plan = planOf(record);
  const resumes = record.state === "running";
  const before = await recordedTopology(topology);
  let past = definition.isPast(record.operation_id, plan, before);
  if (!resumes) {
    const fresh = await definition.plan(definition.asApproved(record.input, plan), record.operation_id);
    checkPlan(fresh, plan, record.input.expected_plan_hash);
    if (!fresh.changes) return { outcome: "done", result: { changed: false } };
    await keeper.change({
      state: "running",
      node: parts.me,
      topology_fence: before.fence,
      heartbeat_at: parts.now().toISOString(),
    });
  } else if (!past && before.fence !== record.topology_fence && before.operation_id !== record.operation_id) {
    return {
      outcome: "superseded",
      error: new Failure("superseded", {
        message: `The record has fence ${before.fence} and names ${before.instance_id}; the operation began under ${record.topology_fence ?? "none"}.`,
      }),
    };
  }
  const context = await definition.begin(record, plan, before, grant);
  const timeoutSeconds = Number(record.input.timeout_seconds ?? Number.POSITIVE_INFINITY);
  const until = monotonic() + timeoutSeconds * 1000;
  try {
    const steps = definition.steps(context);
    const run: StepRun<C> = {
      steps,
      context,
      journal: keeper,
      isSuperseded: async () => {
        const now = await recordedTopology(topology);
        return now.fence !== before.fence && now.operation_id !== record.operation_id;
      },
      guard: (isPast) => {
        grant.assertHeld();
        if (!isPast && monotonic() > until) {
          throw new Failure("timed-out", {
            message: `The point of no return was not reached within the operation's ${timeoutSeconds} s.`,
          });
        }
        const who = isPast ? undefined : keeper.abortRequested();
        if (who !== undefined)
          throw new Failure("interrupted", { message: `${who} asked for the end of the operation.` });
        if (!isPast) parts.signal.throwIfAborted();
      },
      isPast: async () => {
        past = definition.isPast(record.operation_id, plan, await recordedTopology(topology));
        return past;
      },
      now: monotonic,
      sleep,
      stopAt,
      log,
    };
    const pivot = steps.findIndex((step) => step.pointOfNoReturn);
    if (resumes && !past) {
      log.warn("its runner died before the point of no return; undoing");
      const undone = await undoSteps(
        run,
        steps.slice(0, pivot === -1 ? steps.length : pivot + 1).map(({ name }) => name),
      );
      if (undone.outcome !== "undone") return undone;
      return {
        outcome: "undone",
        error: new Failure("interrupted", {
          message: "The operation's runner was ended before the point of no return.",
        }),
      };
    }
    if (resumes) log.warn("its runner died after the point of no return; going on");
    const outcome = await runSteps(run, resumes ? pivot + 1 : 0);
    if (outcome.outcome !== "done") return outcome;
    try {
      return { ...outcome, result: await definition.result(context) };
    } catch (error) {
      return { outcome: "failed", error, past: true };
    }
  } finally {
    await definition.end(context).catch((error: unknown) => log.warn(`ending: ${String(error)}`));
  }
};

/**
 * Runs an operation that was recorded, or takes up one whose runner died: to its end when the point of no return was passed,
 * back otherwise. Answers the record as it ended; one that had ended already is answered as it is. Errors: `lock-held`,
 * `unknown-operation`, and those of the stores; what the operation itself failed with is in the record.
 */
export const runOperation = async <C>(
  definition: OperationDefinition<C>,
  parts: OperationParts,
  operationId: string,
): Promise<OperationRecord> => {
  const { journal, log, now } = parts;
  const lease = parts.operationLock(lockPurpose(definition.kind, operationId));
  const grant = await lease.acquire({ deadlineMs: lockPatienceMs, signal: parts.signal });
  grant.startRenewing();
  const over = new AbortController();
  let lost = false;
  try {
    const record = await journal.read(operationId);
    if (!record) {
      throw new Failure("unknown-operation", { message: `There is no operation ${operationId} in the table.` });
    }
    if (!isLive(record)) return record;
    const claimed = await journal.replace(record, { node: parts.me });
    if (!claimed.written) {
      throw new Failure("lock-lost", { message: `The record of operation ${operationId} was written by another.` });
    }
    const keeper = keepRecord({ record: claimed.record, journal, now, log });
    keepBeating(keeper, parts, over.signal);
    let ended: Awaited<ReturnType<typeof runUnderLock<C>>>;
    try {
      ended = await runUnderLock(definition, parts, keeper, grant);
    } catch (error) {
      // A first runner has begun nothing: the plan was refused, or the stores did not answer. What a dead one left is as it was.
      ended = record.state === "created" ? { outcome: "undone", error } : { outcome: "failed", error, past: false };
    }
    over.abort();
    await keeper.settled();
    // Whoever took the lock over ends the record.
    if (!grant.held()) {
      lost = true;
      throw new Failure("lock-lost", { message: "The operation lock was lost." });
    }
    const failure = ended.outcome === "done" ? undefined : ended.error;
    const report = failure === undefined ? undefined : failureReport(failure);
    await keeper.change({
      state: endState(ended, keeper.abortRequested() !== undefined),
      ended_at: now().toISOString(),
      ...("result" in ended && ended.result ? { result: ended.result } : {}),
      ...(report && {
        failure_reason: report.failure_reason,
        failure_message: `${report.message} ${ended.outcome === "undone" ? "Everything was undone; nothing is changed." : report.changed} ${report.next}`,
      }),
    });
    const final = keeper.current();
    await journal.keep(final).catch((error: unknown) => log.warn(`the audit copy was not written: ${String(error)}`));
    log.info(`${definition.kind} ${operationId}: ${final.state}`);
    return final;
  } finally {
    over.abort();
    // One that has not ended is taken up by whoever finds its lock stale; a lock that is free says that there is nothing to do.
    if (lost) grant.forget();
    else await grant.release("the operation ended");
  }
};
