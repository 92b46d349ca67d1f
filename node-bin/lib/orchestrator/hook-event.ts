import * as v from "valibot";
import { Failure } from "#contract/failure-reasons.ts";
import { PrivateIp } from "#contract/names.ts";

/** Orchestrator's events; each runs the hook script with this name as its argument. */
export const HookName = v.picklist([
  "OnFailureDetection",
  "PreGracefulTakeover",
  "PreFailover",
  "PostMasterFailover",
  "PostIntermediateMasterFailover",
  "PostFailover",
  "PostUnsuccessfulFailover",
  "PostGracefulTakeover",
  "PostTakeMaster",
]);
export type HookName = v.InferOutput<typeof HookName>;

/** One event, from the environment that Orchestrator gives to a hook. */
export interface HookEvent {
  readonly name: HookName;
  /** What a person asked Orchestrator for, for example `graceful-master-takeover`; undefined when it acts by itself. */
  readonly command: string | undefined;
  /** Orchestrator's own word, for example `DeadMaster`. */
  readonly failureType: string;
  /** Address of the node that it is about. */
  readonly failedHost: string;
  /** The promoted replica; in `PreGracefulTakeover` the one that is to be promoted. */
  readonly successorHost: string | undefined;
  readonly successful: boolean;
  /** Replicas that could not be moved below the successor. */
  readonly lostReplicas: readonly string[];
  /** The recovery, the same in all events of one. Undefined before there is one. */
  readonly uid: string | undefined;
}

const optionalText = v.pipe(
  v.optional(v.string(), ""),
  v.transform((text) => (text === "" ? undefined : text)),
);
const flag = v.pipe(
  v.optional(v.picklist(["true", "false"]), "false"),
  v.transform((text) => text === "true"),
);

/** `127.0.0.11:3306,127.0.0.12:3306`, or nothing. */
const hostList = v.pipe(
  v.optional(v.string(), ""),
  v.transform((text) =>
    text
      .split(",")
      .filter((part) => part !== "")
      .map((part) => part.replace(/:\d+$/, "")),
  ),
  v.array(PrivateIp),
);

const Environment = v.object({
  ORC_COMMAND: v.pipe(optionalText, v.optional(v.pipe(v.string(), v.regex(/^[a-z-]{1,64}$/)))),
  ORC_FAILURE_TYPE: v.pipe(v.string(), v.regex(/^[A-Za-z]{1,100}$/)),
  ORC_FAILED_HOST: PrivateIp,
  ORC_SUCCESSOR_HOST: v.pipe(optionalText, v.optional(PrivateIp)),
  ORC_IS_SUCCESSFUL: flag,
  ORC_LOST_REPLICAS: hostList,
  ORC_RECOVERY_UID: v.pipe(optionalText, v.optional(v.pipe(v.string(), v.regex(/^\d{1,20}:[0-9a-f]{64}$/)))),
});

/**
 * Reads one event. Errors: `bad-input` for an unknown event, or an environment that is not Orchestrator's: hosts are
 * addresses (`HostnameResolveMethod` none), the uid has its known form.
 */
export const readHookEvent = (name: string | undefined, environment: NodeJS.ProcessEnv): HookEvent => {
  const event = v.safeParse(HookName, name);
  if (!event.success) {
    throw new Failure("bad-input", {
      message: `Unknown event ${name ?? "(none)"}; Orchestrator's events are ${HookName.options.join(", ")}.`,
    });
  }
  const parsed = v.safeParse(Environment, environment);
  if (!parsed.success) {
    const wrong = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? "environment"}: ${issue.message}`).join("; ");
    throw new Failure("bad-input", { message: `${event.output} came with an unexpected environment: ${wrong}.` });
  }
  const given = parsed.output;
  return {
    name: event.output,
    command: given.ORC_COMMAND,
    failureType: given.ORC_FAILURE_TYPE,
    failedHost: given.ORC_FAILED_HOST,
    successorHost: given.ORC_SUCCESSOR_HOST,
    successful: given.ORC_IS_SUCCESSFUL,
    lostReplicas: given.ORC_LOST_REPLICAS,
    uid: given.ORC_RECOVERY_UID,
  };
};
