import type { NodeStatus } from "#contract/agent-api.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { ackersToFreeze } from "./promotion.ts";

/**
 * A node is given up when its agent has answered nobody for this long, milliseconds. An agent that is started again is back in
 * seconds, and an SSM agent that has lost its connection within half a minute, so that neither is overtaken; and most of the
 * hook's 300 s are left for a primary that has to be replaced.
 */
export const givenUpAfterMs = 45_000;

/**
 * How much longer a recorded primary is waited for that could be replaced, milliseconds. The agents replace a dead one within
 * seconds, and may be applying what they received for longer. One whose mysqld lives on without its agent they do not replace
 * before it is gone.
 */
export const replacedWithinMs = 60_000;

/** The group's list of instances may be older than the event that speaks of one of them, milliseconds. */
export const listedWithinMs = 15_000;

/** States that an instance never comes back from; nothing waits for its hook any more. */
const past = new Set(["Terminating:Proceed", "Terminated", "Detaching", "Detached"]);

/** Whether an instance is held for its termination. `lifecycleState` is undefined when the group does not list it. */
export const holdOf = (lifecycleState: string | undefined, waitedMs: number): "held" | "not-yet" | "over" => {
  if (lifecycleState === "Terminating:Wait") return "held";
  if (lifecycleState === undefined || past.has(lifecycleState)) return "over";
  return waitedMs < listedWithinMs ? "not-yet" : "over";
};

/** What is known of an instance that is held for its termination. */
export interface TerminationView {
  readonly instanceId: string;
  readonly agent:
    | { readonly answers: true; readonly leaving: NonNullable<NodeStatus["leaving"]> }
    /** For how long nobody has had an answer, milliseconds. */
    | { readonly answers: false; readonly silentMs: number };
  readonly record: TopologyRecord | undefined;
  /** Instances in service whose agents answer. It matters for a recorded primary that is given up. */
  readonly others: readonly string[];
}

export type TerminationDecision =
  | {
      readonly do: "wait";
      /** Its hook gets its full time again. */
      readonly heartbeat: boolean;
      /** A person has to know: nobody can be promoted without losing writes, and the hook's own time decides. */
      readonly alarm: boolean;
      readonly because: string;
    }
  /** The node can no longer do it: out of the target groups, then its hook is completed. */
  | { readonly do: "take-out"; readonly because: string };

const wait = (because: string, more: { heartbeat?: boolean; alarm?: boolean } = {}): TerminationDecision => ({
  do: "wait",
  heartbeat: more.heartbeat ?? false,
  alarm: more.alarm ?? false,
  because,
});

/** Why nobody could be promoted safely without this primary; undefined when somebody can. The rule is that of the promotion. */
const irreplaceable = ({ instanceId, others, record }: TerminationView): string | undefined => {
  if (!record) return undefined;
  const { ackers, degraded, wait_count } = record;
  const usable = ackers.filter(({ instance_id: id }) => id !== instanceId && others.includes(id)).length;
  if (degraded) return `writes have been accepted with too few ackers since ${degraded.since}`;
  if (ackers.length < wait_count) return `the record lists ${ackers.length} of ${wait_count} ackers`;
  const needed = ackersToFreeze(record);
  return usable < needed ? `${usable} of the ${needed} ackers that a promotion needs answer` : undefined;
};

/**
 * What to do with an instance that is held for its termination. A node whose agent answers is left alone, because the agent
 * does it itself, and better. One that is silent for too long is taken out; the recorded primary only while the others can
 * replace it without losing an acknowledged write.
 */
export const decideTermination = (view: TerminationView): TerminationDecision => {
  const { agent, instanceId, record } = view;
  // While the cluster forms, its primary serves nobody, and another takes the formation over.
  const isPrimary = record?.instance_id === instanceId && record.phase === "serving";
  if (agent.answers) {
    if (agent.leaving === "let-go") return wait("its agent has let it go");
    return isPrimary
      ? wait("it is the primary, and its agent answers: it hands over itself", { heartbeat: true })
      : wait("its agent answers: it leaves by itself");
  }
  if (agent.silentMs < givenUpAfterMs) return wait("its agent does not answer: it may be starting again");
  if (!isPrimary) return { do: "take-out", because: "its agent does not answer any more" };
  const why = irreplaceable(view);
  if (why !== undefined) {
    return wait(
      `it is the primary, its agent does not answer, and nobody can be promoted safely: ${why}; the hook's own time decides`,
      { alarm: true },
    );
  }
  if (agent.silentMs < givenUpAfterMs + replacedWithinMs) {
    return wait("it is the primary, and its agent does not answer: the others are about to replace it");
  }
  return {
    do: "take-out",
    because: "it is the primary, its agent does not answer, and the others can replace it once it is gone",
  };
};
