import { randomUUID } from "node:crypto";
import { describeFailure } from "#contract/failure-reasons.ts";
import { tableName } from "#contract/names.ts";
import { makeAutoScaling } from "../aws/autoscaling.ts";
import { makeAws } from "../aws/clients.ts";
import { makeTargetGroups } from "../aws/elbv2.ts";
import { makeRunCommand } from "../aws/ssm.ts";
import { makeTable } from "../aws/table.ts";
import { makeTopology } from "../coordination/topology.ts";
import { makeLog } from "../host/log.ts";
import { monotonicMs, pause } from "../host/wait.ts";
import { makeAskAgent } from "./ask-agent.ts";
import { readEvent } from "./event.ts";
import { readSettings, type Settings } from "./settings.ts";
import { type TerminationOutcome, type TerminationParts, watchTermination } from "./watch-termination.ts";

const name = "raft-lifecycle";

/** What Lambda tells a function about its call, as much of it as is used. */
export interface LambdaContext {
  getRemainingTimeInMillis(): number;
}

/** What the function answers; EventBridge does not read it. */
export type LifecycleAnswer = TerminationOutcome | { readonly outcome: "ignored"; readonly because: string };

/** The adapters, made once for as long as Lambda keeps the process. */
const wire = ({ asgName, clusterId, region, targetGroupArns }: Settings): Omit<TerminationParts, "remainingMs"> => {
  const aws = makeAws({ region });
  const [now, sleep] = [monotonicMs, (ms: number) => pause(ms)];
  return {
    autoScaling: makeAutoScaling(aws),
    targetGroups: makeTargetGroups(aws),
    topology: makeTopology({
      table: makeTable(aws, tableName(clusterId)),
      clusterId,
      uuid: randomUUID,
      now: () => new Date(),
    }),
    askAgent: makeAskAgent({ commands: makeRunCommand(aws, name), clusterId, now, sleep }),
    asgName,
    targetGroupArns,
    log: makeLog(name),
    now,
    sleep,
  };
};

/**
 * The function that EventBridge calls. Nothing is read or made before its first call. What it throws counts as an error of the
 * function, which an alarm can see, and has Lambda call it again: every step may be done twice.
 */
export const makeLifecycleHandler = (environment: NodeJS.ProcessEnv) => {
  let wired: Omit<TerminationParts, "remainingMs"> | undefined;
  return async (event: unknown, context: LambdaContext): Promise<LifecycleAnswer> => {
    const log = makeLog(name);
    try {
      wired ??= wire(readSettings(environment));
      const asked = readEvent(event, wired.asgName);
      if (asked.terminate === undefined) {
        log.info(`nothing to do: ${asked.because}`);
        return { outcome: "ignored", because: asked.because };
      }
      return await watchTermination(
        { ...wired, remainingMs: () => context.getRemainingTimeInMillis() },
        asked.terminate,
      );
    } catch (error) {
      log.error(describeFailure(error));
      throw error;
    }
  };
};
