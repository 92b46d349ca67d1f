import { describeFailure, Failure } from "#contract/failure-reasons.ts";
import { monotonicMs, pause, waitFor } from "../host/wait.ts";
import type { OrchestratorClient } from "./client.ts";

/** How leadership ended up. */
export type HandOver =
  | { readonly did: "nothing"; readonly because: string }
  | { readonly did: "yielded"; readonly leader: string };

/**
 * Hands raft's leadership to another node before this one's Orchestrator stops, so that nobody has to notice first that it is gone;
 * whoever is elected begins to watch within a second. Candidates are asked one after another. Errors: `timed-out` when none of them
 * leads in the end; what the client throws.
 *
 * @param candidates addresses of peers that answer, the preferred one first.
 */
export const yieldBeforeStop = async (
  client: Pick<OrchestratorClient, "leads" | "raftLeader" | "yieldTo">,
  self: string,
  candidates: readonly string[],
  options: {
    /** How long one candidate may take to lead; an election takes 1 to 2 s, and the others are kept from leading for 5 s. */
    readonly electionMs?: number;
    /**
     * How long the same one has to lead. A third that is elected before it hears who is to lead gives the lead up at once, and 1.2 s
     * pass until the others notice (seen).
     */
    readonly settledMs?: number;
    readonly signal?: AbortSignal;
  } = {},
): Promise<HandOver> => {
  const { electionMs = 5000, settledMs = 2000, signal } = options;
  if (!(await client.leads())) return { did: "nothing", because: "this node's Orchestrator does not lead" };
  const others = candidates.filter((address) => address !== self);
  if (others.length === 0) return { did: "nothing", because: "there is no other Orchestrator that answers" };
  let last: unknown;
  for (const other of others) {
    // It may have stopped leading by itself meanwhile.
    if (await client.leads()) await client.yieldTo(other);
    let seen = "";
    let since = monotonicMs();
    try {
      const leader = await waitFor(
        `another Orchestrator than ${self} to lead`,
        async () => {
          const now = (await client.raftLeader()) ?? "nobody";
          if (now !== seen) since = monotonicMs();
          seen = now;
          return now === self || now === "nobody" || monotonicMs() - since < settledMs ? undefined : now;
        },
        { everyMs: 100, deadlineMs: electionMs, lastSeen: () => seen, ...(signal === undefined ? {} : { signal }) },
      );
      return { did: "yielded", leader };
    } catch (error) {
      signal?.throwIfAborted();
      last = error;
      await pause(100, signal);
    }
  }
  throw new Failure("timed-out", {
    message: `None of ${others.join(", ")} took the lead from ${self}. ${describeFailure(last)}`,
    changed: "This node's Orchestrator still runs.",
    cause: last,
  });
};
