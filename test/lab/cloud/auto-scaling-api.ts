import { type Answer, AwsError, queryAnswer, xmlText } from "./aws-error.ts";
import { formList, formStructures } from "./aws-request.ts";
import type { GroupMembers, Member } from "./group-members.ts";
import type { Inventory, InventoryGroup } from "./inventory.ts";
import { globalTimeoutSeconds, type LifecycleHook } from "./lifecycle.ts";
import { allOf, buildXml, childrenOf, descend, parseXml, setText, textOf, type XmlNode } from "./xml-tree.ts";

const namespace = "http://autoscaling.amazonaws.com/doc/2011-01-01/";

/** One call of Auto Scaling. `forward` lets moto answer. */
export interface AutoScalingCall {
  readonly operation: string;
  readonly form: URLSearchParams;
  forward(): Promise<Answer>;
}

/** Answers a call; everything that is not about hooks, states and capacity is moto's. */
export type AutoScalingApi = (call: AutoScalingCall) => Promise<Answer>;

const element = (name: string, value: string | number | undefined): string =>
  value === undefined ? "" : `<${name}>${xmlText(String(value))}</${name}>`;

const hookXml = (group: string, hook: LifecycleHook): string =>
  `<member>${element("LifecycleHookName", hook.name)}${element("AutoScalingGroupName", group)}` +
  element("LifecycleTransition", hook.transition) +
  element("NotificationTargetARN", hook.notificationTargetArn) +
  element("RoleARN", hook.roleArn) +
  element("NotificationMetadata", hook.notificationMetadata) +
  element("HeartbeatTimeout", hook.heartbeatSeconds) +
  element("GlobalTimeout", globalTimeoutSeconds(hook.heartbeatSeconds)) +
  `${element("DefaultResult", hook.defaultResult)}</member>`;

/** A member that moto's group has lost, as DescribeAutoScalingGroups and -Instances show it. */
const detachedXml = ({ seen, state, group }: Member, withGroup: boolean): XmlNode => {
  const template = seen.LaunchTemplate;
  const xml =
    `<member>${element("InstanceId", seen.InstanceId)}${withGroup ? element("AutoScalingGroupName", group) : ""}` +
    element("InstanceType", seen.InstanceType) +
    element("AvailabilityZone", seen.AvailabilityZone) +
    element("LifecycleState", state) +
    element("HealthStatus", withGroup ? seen.HealthStatus?.toUpperCase() : seen.HealthStatus) +
    (template === undefined
      ? ""
      : `<LaunchTemplate>${element("LaunchTemplateId", template.LaunchTemplateId)}${element(
          "LaunchTemplateName",
          template.LaunchTemplateName,
        )}${element("Version", template.Version)}</LaunchTemplate>`) +
    `<ProtectedFromScaleIn>${seen.ProtectedFromScaleIn ?? false}</ProtectedFromScaleIn></member>`;
  const [node] = parseXml(xml);
  if (node === undefined) throw new Error("An element was written and not read back.");
  return node;
};

const required = (form: URLSearchParams, name: string): string => {
  const value = form.get(name);
  if (value === null || value === "") {
    throw new AwsError(
      "ValidationError",
      `1 validation error detected: Value null at '${name}' failed to satisfy constraint: Member must not be null`,
    );
  }
  return value;
};

export const createAutoScalingApi = (members: GroupMembers, inventory: Inventory): AutoScalingApi => {
  const groupOf = (form: URLSearchParams): InventoryGroup => {
    const name = required(form, "AutoScalingGroupName");
    const group = inventory.group(name);
    if (group === undefined)
      throw new AwsError("ValidationError", `AutoScalingGroup name not found - AutoScalingGroup ${name} not found`);
    return group;
  };
  const memberOf = (form: URLSearchParams): Member => {
    const instanceId = required(form, "InstanceId");
    const member = members.member(instanceId);
    if (member === undefined) {
      throw new AwsError(
        "ValidationError",
        `Instance Id not found - No managed instance found for instance ID: ${instanceId}`,
      );
    }
    return member;
  };

  const withStates = (instances: XmlNode[] | undefined): void => {
    for (const instance of allOf(instances, "member")) {
      const member = members.member(textOf(instance, "InstanceId") ?? "");
      if (member !== undefined && member.state !== "InService") setText(instance, "LifecycleState", member.state);
    }
  };
  const detachedOf = (group?: string): Member[] =>
    members.members().filter((member) => member.detached && (group === undefined || member.group === group));

  const rewritten = (answer: Answer, change: (tree: XmlNode[]) => void): Answer => {
    if (answer.status !== 200) return answer;
    const tree = parseXml(answer.body.toString());
    change(tree);
    return { ...answer, body: buildXml(tree) };
  };

  const shrinkTo = async (group: InventoryGroup, wanted: number): Promise<void> => {
    if (wanted < group.instances.length) await members.shrink(group, group.instances.length - wanted);
  };

  const handlers: Readonly<Record<string, (call: AutoScalingCall) => Promise<Answer>>> = {
    CreateAutoScalingGroup: async ({ form, forward }) => {
      const name = required(form, "AutoScalingGroupName");
      if (inventory.group(name) !== undefined) {
        throw new AwsError(
          "AlreadyExists",
          "AutoScalingGroup by this name already exists - A group with the name already exists",
        );
      }
      try {
        for (const fields of formStructures(form, "LifecycleHookSpecificationList")) members.putHook(name, fields);
      } catch (error) {
        members.forgetHooks(name);
        throw error;
      }
      const answer = await forward();
      if (answer.status !== 200) members.forgetHooks(name);
      return answer;
    },
    UpdateAutoScalingGroup: async ({ form, forward }) => {
      const group = groupOf(form);
      const max = form.get("MaxSize");
      const desired = form.get("DesiredCapacity");
      if (desired !== null) await shrinkTo(group, Number(desired));
      else if (max !== null) await shrinkTo(group, Number(max));
      return forward();
    },
    SetDesiredCapacity: async ({ form, forward }) => {
      const group = groupOf(form);
      const desired = Number(required(form, "DesiredCapacity"));
      const outside =
        desired > group.maxSize
          ? `above max value ${group.maxSize}`
          : desired < group.minSize
            ? `below min value ${group.minSize}`
            : undefined;
      if (outside !== undefined) {
        throw new AwsError(
          "ValidationError",
          `New SetDesiredCapacity value ${desired} is ${outside} for the AutoScalingGroup.`,
        );
      }
      await shrinkTo(group, desired);
      return forward();
    },
    DeleteAutoScalingGroup: async ({ form, forward }) => {
      const group = groupOf(form);
      if (form.get("ForceDelete") !== "true" && group.instances.length + detachedOf(group.name).length > 0) {
        throw new AwsError(
          "ResourceInUse",
          "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.",
        );
      }
      await members.liftProtection(group);
      return forward();
    },
    TerminateInstanceInAutoScalingGroup: async ({ operation, form }) => {
      const member = memberOf(form);
      const group = inventory.group(member.group);
      const decrement = form.get("ShouldDecrementDesiredCapacity") === "true";
      if (decrement && group !== undefined && group.desired <= group.minSize) {
        throw new AwsError(
          "ValidationError",
          `Currently, desiredSize equals minSize (${group.minSize}). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.`,
        );
      }
      await members.retire(member, { decrement });
      const cause = `At ${new Date().toISOString()} instance ${member.instanceId} was taken out of service in response to a user request.`;
      return queryAnswer(
        namespace,
        operation,
        `<Activity>${element("ActivityId", member.instanceId)}${element("AutoScalingGroupName", member.group)}` +
          element("Description", `Terminating EC2 instance: ${member.instanceId}`) +
          element("Cause", cause) +
          element("StartTime", new Date().toISOString()) +
          "<StatusCode>InProgress</StatusCode><Progress>0</Progress></Activity>",
      );
    },
    SetInstanceHealth: async ({ operation, form, forward }) => {
      const member = memberOf(form);
      const health = required(form, "HealthStatus");
      if (health !== "Healthy" && health !== "Unhealthy") {
        throw new AwsError("ValidationError", "Valid instance health states are: [Healthy, Unhealthy].");
      }
      const respectsGrace = form.get("ShouldRespectGracePeriod") !== "false";
      const isHidden = health === "Unhealthy" && respectsGrace && members.isInGrace(member);
      return isHidden || member.detached ? queryAnswer(namespace, operation, "") : forward();
    },
    PutLifecycleHook: async ({ operation, form }) => {
      const group = groupOf(form);
      members.putHook(group.name, Object.fromEntries(form));
      return queryAnswer(namespace, operation, "");
    },
    DeleteLifecycleHook: async ({ operation, form }) => {
      await members.deleteHook(groupOf(form).name, required(form, "LifecycleHookName"));
      return queryAnswer(namespace, operation, "");
    },
    DescribeLifecycleHooks: async ({ operation, form }) => {
      const group = groupOf(form);
      const names = formList(form, "LifecycleHookNames");
      const found = members.hooks(group.name).filter(({ name }) => names.length === 0 || names.includes(name));
      const xml = found.map((hook) => hookXml(group.name, hook)).join("");
      return queryAnswer(namespace, operation, `<LifecycleHooks>${xml}</LifecycleHooks>`);
    },
    CompleteLifecycleAction: async ({ operation, form }) => {
      const result = required(form, "LifecycleActionResult");
      if (result !== "CONTINUE" && result !== "ABANDON") {
        throw new AwsError("ValidationError", "The action result must be CONTINUE or ABANDON");
      }
      await members.complete(actionId(form), result);
      return queryAnswer(namespace, operation, "");
    },
    RecordLifecycleActionHeartbeat: async ({ operation, form }) => {
      members.heartbeat(actionId(form));
      return queryAnswer(namespace, operation, "");
    },
    DescribeAutoScalingGroups: async ({ forward }) =>
      rewritten(await forward(), (tree) => {
        const groups = descend(
          tree,
          "DescribeAutoScalingGroupsResponse",
          "DescribeAutoScalingGroupsResult",
          "AutoScalingGroups",
        );
        for (const group of allOf(groups, "member")) {
          if (childrenOf(group, "Instances") === undefined) group.push({ Instances: [] });
          const instances = childrenOf(group, "Instances");
          withStates(instances);
          for (const member of detachedOf(textOf(group, "AutoScalingGroupName"))) {
            instances?.push(detachedXml(member, false));
          }
        }
      }),
    DescribeAutoScalingInstances: async ({ form, forward }) =>
      rewritten(await forward(), (tree) => {
        const instances = descend(
          tree,
          "DescribeAutoScalingInstancesResponse",
          "DescribeAutoScalingInstancesResult",
          "AutoScalingInstances",
        );
        withStates(instances);
        const wanted = formList(form, "InstanceIds");
        for (const member of detachedOf()) {
          if (wanted.length === 0 || wanted.includes(member.instanceId)) instances?.push(detachedXml(member, true));
        }
      }),
  };
  const actionId = (form: URLSearchParams) => ({
    group: required(form, "AutoScalingGroupName"),
    hook: required(form, "LifecycleHookName"),
    instanceId: form.get("InstanceId") ?? undefined,
    token: form.get("LifecycleActionToken") ?? undefined,
  });
  return (call) => (handlers[call.operation] ?? (({ forward }) => forward()))(call);
};
