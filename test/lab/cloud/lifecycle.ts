import type { AwsError } from "./aws-error.ts";
import { AwsError as Refusal } from "./aws-error.ts";

/** When a hook holds an instance. */
export type Transition = "autoscaling:EC2_INSTANCE_LAUNCHING" | "autoscaling:EC2_INSTANCE_TERMINATING";
export const launching: Transition = "autoscaling:EC2_INSTANCE_LAUNCHING";
export const terminating: Transition = "autoscaling:EC2_INSTANCE_TERMINATING";

/** What becomes of an instance after a hook. */
export type ActionResult = "CONTINUE" | "ABANDON";

/** A lifecycle hook of an Auto Scaling group. */
export interface LifecycleHook {
  readonly name: string;
  readonly transition: Transition;
  readonly heartbeatSeconds: number;
  readonly defaultResult: ActionResult;
  readonly notificationMetadata?: string;
  readonly notificationTargetArn?: string;
  readonly roleArn?: string;
}

/** One instance held by one hook. Times are milliseconds of one monotonic clock. */
export interface WaitingAction {
  readonly hook: LifecycleHook;
  readonly token: string;
  /** When the default result is taken; a heartbeat moves it. */
  readonly deadline: number;
  /** No heartbeat moves the deadline beyond this. */
  readonly latest: number;
}

/** The longest time that heartbeats can hold an instance, seconds: 48 hours or 100 heartbeats, whichever is shorter. */
export const globalTimeoutSeconds = (heartbeatSeconds: number): number => Math.min(48 * 3600, 100 * heartbeatSeconds);

/** Begins to hold an instance. `factor` divides the hook's times. */
export const beginWaiting = (hook: LifecycleHook, token: string, now: number, factor: number): WaitingAction => ({
  hook,
  token,
  deadline: now + (hook.heartbeatSeconds * 1000) / factor,
  latest: now + (globalTimeoutSeconds(hook.heartbeatSeconds) * 1000) / factor,
});

/** Restarts the hook's timeout. */
export const recordHeartbeat = (action: WaitingAction, now: number, factor: number): WaitingAction => ({
  ...action,
  deadline: Math.min(now + (action.hook.heartbeatSeconds * 1000) / factor, action.latest),
});

const invalid = (message: string): AwsError => new Refusal("ValidationError", message);

/** What PutLifecycleHook or one member of LifecycleHookSpecificationList asks for; `before` is the hook that it replaces. */
export const readHook = (
  fields: Readonly<Record<string, string | undefined>>,
  before: LifecycleHook | undefined,
): LifecycleHook => {
  const name = fields.LifecycleHookName;
  if (name === undefined || !/^[A-Za-z0-9\-_/]{1,255}$/.test(name)) {
    throw invalid(`1 validation error detected: Value '${name ?? "null"}' at 'lifecycleHookName' is not valid`);
  }
  const transition = fields.LifecycleTransition ?? before?.transition;
  if (transition !== launching && transition !== terminating) {
    throw invalid(`1 validation error detected: Value '${transition ?? "null"}' at 'lifecycleTransition' is not valid`);
  }
  const heartbeatSeconds = Number(fields.HeartbeatTimeout ?? before?.heartbeatSeconds ?? 3600);
  if (!Number.isInteger(heartbeatSeconds) || heartbeatSeconds < 30 || heartbeatSeconds > 7200) {
    throw invalid("Heartbeat timeout has to be between 30 and 7200 seconds");
  }
  const defaultResult = fields.DefaultResult ?? before?.defaultResult ?? "ABANDON";
  if (defaultResult !== "CONTINUE" && defaultResult !== "ABANDON") {
    throw invalid("DefaultResult should be either CONTINUE or ABANDON");
  }
  const notificationMetadata = fields.NotificationMetadata ?? before?.notificationMetadata;
  const notificationTargetArn = fields.NotificationTargetARN ?? before?.notificationTargetArn;
  const roleArn = fields.RoleARN ?? before?.roleArn;
  return {
    name,
    transition,
    heartbeatSeconds,
    defaultResult,
    ...(notificationMetadata === undefined ? {} : { notificationMetadata }),
    ...(notificationTargetArn === undefined ? {} : { notificationTargetArn }),
    ...(roleArn === undefined ? {} : { roleArn }),
  };
};

/** A member of a group that may be removed to make the group smaller. */
export interface ScaleInCandidate {
  readonly instanceId: string;
  readonly availabilityZone: string;
  readonly isProtected: boolean;
}

/**
 * Whom a group removes when it shrinks, by the default termination policy: from the zone with the most instances, the oldest
 * first. `members` are oldest first. Protected ones stay, so that fewer than `count` may be returned.
 */
export const scaleInVictims = (members: readonly ScaleInCandidate[], count: number): ScaleInCandidate[] => {
  const left = [...members];
  const victims: ScaleInCandidate[] = [];
  while (victims.length < count) {
    const inZone = (zone: string): number => left.filter((member) => member.availabilityZone === zone).length;
    const candidates = left.filter((member) => !member.isProtected);
    const most = Math.max(...candidates.map((member) => inZone(member.availabilityZone)));
    const victim = candidates.find((member) => inZone(member.availabilityZone) === most);
    if (victim === undefined) break;
    victims.push(victim);
    left.splice(left.indexOf(victim), 1);
  }
  return victims;
};
