import type * as v from "valibot";
import type { Attempt, Conclude } from "#contract/agent-api.ts";
import type { HookEvent } from "./hook-event.ts";

/** What the hook script does about an event. */
export type HookAction =
  /** Asks the local agent; anything but its permission ends with a veto. */
  | { readonly do: "attempt"; readonly body: v.InferOutput<typeof Attempt> }
  /** Tells the local agent how the recovery ended. */
  | { readonly do: "conclude"; readonly body: v.InferOutput<typeof Conclude> }
  /** Ends with an error, which aborts what Orchestrator is about to do. */
  | { readonly do: "veto"; readonly because: string }
  | { readonly do: "log"; readonly because: string };

/** The failures of a primary that Orchestrator recovers from by promoting a replica. */
const deadPrimary = new Set(["DeadMaster", "DeadMasterAndSomeReplicas"]);

const useOurs =
  "A primary is replaced by the switchover action, which drains, demotes and records. Nothing was changed; run the switchover action instead.";

const beforeFailover = (event: HookEvent): HookAction => {
  if (event.command !== undefined) return { do: "veto", because: `${event.command} was asked for. ${useOurs}` };
  if (!deadPrimary.has(event.failureType)) {
    return {
      do: "veto",
      because: `${event.failureType} of ${event.failedHost} is not a dead primary; the agents repoint replicas themselves.`,
    };
  }
  if (event.uid === undefined) {
    return { do: "veto", because: "The recovery has no uid, so that its end could not be told from another's." };
  }
  return {
    do: "attempt",
    body: {
      uid: event.uid,
      failed_host: event.failedHost,
      ...(event.successorHost === undefined ? {} : { successor_host: event.successorHost }),
    },
  };
};

const afterFailover = (event: HookEvent): HookAction => {
  if (event.command !== undefined) {
    return { do: "log", because: `after ${event.command}, which no agent had allowed; the reconciler repairs` };
  }
  if (!deadPrimary.has(event.failureType) || event.uid === undefined) {
    return { do: "log", because: `the end of ${event.failureType}, which is no replacement of a primary` };
  }
  return {
    do: "conclude",
    body: {
      uid: event.uid,
      successful: event.successful,
      ...(event.successorHost === undefined ? {} : { successor_host: event.successorHost }),
    },
  };
};

/**
 * What to do about an event. An event may come twice, out of order or never: `attempt` and `conclude` carry the recovery's uid,
 * by which the agent knows what it has done already.
 */
export const hookAction = (event: HookEvent): HookAction => {
  switch (event.name) {
    case "PreGracefulTakeover":
      // A veto in PreFailover would come too late: by then Orchestrator has made the primary read-only, and leaves it so.
      return { do: "veto", because: `${event.command ?? "A takeover"} was asked for. ${useOurs}` };
    case "PreFailover":
      return beforeFailover(event);
    case "PostMasterFailover":
    case "PostFailover":
    case "PostUnsuccessfulFailover":
      return afterFailover(event);
    case "OnFailureDetection":
      return { do: "log", because: "a failure is seen; nothing is decided yet" };
    case "PostIntermediateMasterFailover":
    case "PostGracefulTakeover":
    case "PostTakeMaster":
      return { do: "log", because: "nothing that an agent waits for; the reconciler repairs what differs" };
  }
};
