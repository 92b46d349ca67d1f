import * as v from "valibot";
import type { Clock } from "#actions/lib/clock.ts";
import type { NodeAnswer } from "#actions/lib/run-command.ts";
import { Failure, type FailureReason } from "#contract/failure-reasons.ts";
import { type OperationKind, OperationPlan } from "#contract/operation.ts";

/** What asking for a plan needs. */
export interface AskPlanOptions {
  readonly clusterId: string;
  readonly kind: OperationKind;
  /** Nodes in the order in which they are asked. */
  readonly nodes: readonly string[];
  /** Has the node make the plan; aborted once another has made it. */
  readonly ask: (instanceId: string, signal: AbortSignal) => Promise<NodeAnswer>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
}

/** How long a node may be silent before the next is asked as well, milliseconds. */
export const nextNodeAfterMs = 8000;

/** Reasons that lie in what was asked for, not in the node that says them. */
const sameEverywhere: readonly FailureReason[] = [
  "bad-input",
  "unknown-cluster",
  "cluster-unhealthy",
  "instance-not-in-cluster",
  "permission-denied",
  "table-missing",
  "record-malformed",
];

type Attempt =
  | { readonly node: string; readonly plan: OperationPlan }
  | { readonly node: string; readonly why: string; readonly failure?: Failure };

/**
 * The plan of the first node that makes one. A node that fails is passed over; one that is silent is not waited for: the next is asked
 * beside it.
 *
 * @throws Failure `node-unreachable` with what each said, or the failure that a node gave and the others would give too.
 */
export async function askPlan(options: AskPlanOptions): Promise<OperationPlan> {
  const { nodes, clock, signal, log, clusterId } = options;
  const others = new AbortController();
  const asked = AbortSignal.any([signal, others.signal]);
  const open = new Map<string, Promise<Attempt>>();
  const failed: string[] = [];
  let last: Failure | undefined;
  const waiting = [...nodes];
  try {
    while (waiting.length > 0 || open.size > 0) {
      const next = waiting.shift();
      if (next !== undefined) {
        const asking = attempt(next, options, asked);
        // Those that are no longer waited for end with the abort.
        asking.catch(() => undefined);
        open.set(next, asking);
      }
      const patience = waiting.length > 0 ? [pause(clock, asked)] : [];
      const settled = await Promise.race([...open.values(), ...patience]);
      if (settled === undefined) continue;
      open.delete(settled.node);
      if ("plan" in settled) return settled.plan;
      log(`${clusterId}: ${settled.node} made no plan: ${settled.why}`);
      if (settled.failure !== undefined && sameEverywhere.includes(settled.failure.reason)) throw settled.failure;
      last = settled.failure ?? last;
      failed.push(`${settled.node}: ${settled.why}.`);
    }
  } finally {
    others.abort(new Error("Another node has answered."));
  }
  if (last !== undefined) throw last;
  throw new Failure("node-unreachable", {
    message: `No node of ${clusterId} made a plan. ${failed.join(" ") || "None is running."}`,
  });
}

async function attempt(
  node: string,
  { ask, clusterId, kind, nodes }: AskPlanOptions,
  signal: AbortSignal,
): Promise<Attempt> {
  const answer = await ask(node, signal);
  if (!answer.ok) {
    const { failure, detail } = answer;
    return failure === undefined
      ? { node, why: detail }
      : { node, why: `${failure.reason}: ${failure.message}`, failure };
  }
  const result = v.safeParse(OperationPlan, answer.json);
  if (!result.success) {
    const [issue] = result.issues;
    return { node, why: `its answer is not a plan: ${v.getDotPath(issue) ?? "object"}: ${issue.message}` };
  }
  const plan = result.output;
  if (plan.cluster_id !== clusterId || plan.kind !== kind) {
    return { node, why: `it planned a ${plan.kind} of the cluster ${plan.cluster_id}` };
  }
  // A plan that is refused may name a node that is gone; nobody is asked to run it.
  if (plan.refusals.length === 0 && !nodes.includes(plan.node))
    return { node, why: `its plan is to be run by ${plan.node}, which is not running` };
  return { node, plan };
}

const pause = (clock: Clock, signal: AbortSignal): Promise<undefined> =>
  clock.sleep(nextNodeAfterMs, signal).then(
    () => undefined,
    () => undefined,
  );
