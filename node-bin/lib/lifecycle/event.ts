import * as v from "valibot";
import { InstanceId, lifecycleHooks } from "#contract/names.ts";

/** What EventBridge says of a lifecycle action, as much of it as is looked at. */
const LifecycleEvent = v.looseObject({
  source: v.literal("aws.autoscaling"),
  "detail-type": v.string(),
  detail: v.looseObject({
    AutoScalingGroupName: v.string(),
    LifecycleHookName: v.string(),
    EC2InstanceId: InstanceId,
  }),
});

/** What an event asks for. */
export type Asked =
  | { readonly terminate: string }
  /** Why there is nothing to do. */
  | { readonly terminate: undefined; readonly because: string };

const nothing = (because: string): Asked => ({ terminate: undefined, because });

/** Reads an event: the instance that the group named `asgName` holds for our termination hook, or why it concerns nobody here. */
export const readEvent = (event: unknown, asgName: string): Asked => {
  const parsed = v.safeParse(LifecycleEvent, event);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    return nothing(`it is no lifecycle action: ${v.getDotPath(issue) ?? "event"}: ${issue.message}`);
  }
  const { "detail-type": type, detail } = parsed.output;
  const { AutoScalingGroupName: group, EC2InstanceId: instance, LifecycleHookName: hook } = detail;
  if (group !== asgName) return nothing(`${instance} belongs to the group ${group}`);
  if (type === "EC2 Instance-launch Lifecycle Action") {
    return nothing(`${instance} is launched, and completes its own hook ${hook} once it has joined`);
  }
  if (type !== "EC2 Instance-terminate Lifecycle Action") return nothing(`it is an ${type}`);
  if (hook !== lifecycleHooks.terminate) return nothing(`the hook ${hook} of ${instance} is not ours`);
  return { terminate: instance };
};
