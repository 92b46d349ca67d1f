import { messageOf } from "#contract/failure-reasons.ts";
import { lifecycleHooks } from "#contract/names.ts";
import type { AutoScaling } from "../aws/autoscaling.ts";
import type { Log } from "../host/log.ts";
import { pause } from "../host/wait.ts";

/** How often the hook is kept alive, milliseconds; its heartbeat timeout is at least 30 s (AWS's lower bound). */
const heartbeatEveryMs = 15_000;

/** The launch lifecycle hook of this node. */
export interface LaunchHook {
  /** Lets the group count this node as in service. */
  complete(): Promise<void>;
}

/** Keeps the launch hook alive while the node restores and catches up, which may take hours. A node without a pending action has none to complete. */
export const keepLaunchHookAlive = (options: {
  readonly autoScaling: AutoScaling;
  readonly group: string;
  readonly instanceId: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}): LaunchHook => {
  const { autoScaling, group, instanceId, log } = options;
  const done = new AbortController();
  const until = AbortSignal.any([done.signal, options.signal]);
  const beat = async (): Promise<void> => {
    for (;;) {
      await pause(heartbeatEveryMs, until);
      if (until.aborted) return;
      await autoScaling
        .recordHeartbeat(lifecycleHooks.launch, group, instanceId)
        .catch((error: unknown) => log.warn(`the launch hook was not kept alive: ${messageOf(error)}`));
    }
  };
  void beat();
  return {
    complete: async () => {
      done.abort();
      const answer = await autoScaling.completeLifecycleAction(lifecycleHooks.launch, group, instanceId, "CONTINUE");
      log.info(
        answer === "done" ? `completed the launch hook ${lifecycleHooks.launch}` : "no launch hook waits for this node",
      );
    },
  };
};
