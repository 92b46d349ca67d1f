import * as v from "valibot";
import type { SeenInstance } from "#actions/lib/aws/instances.ts";
import { InstanceId } from "#contract/names.ts";
import type { OperationPlan } from "#contract/operation.ts";

/** A node as a plan names it. */
export interface PlannedNode {
  readonly id: string;
  /** As EC2 says it; undefined for an instance that is gone. */
  readonly address: string | undefined;
  /** What the plan says of it, by name. */
  readonly facts: ReadonlyMap<string, string>;
  /** What was seen of it. */
  readonly seen: string | undefined;
}

/** Before and after, as far as a plan says it. */
export interface Change {
  readonly primary: string | undefined;
  /** The next primary. */
  readonly candidate: string | undefined;
  readonly nodes: readonly PlannedNode[];
  /** Limits and the like, by name. */
  readonly parameters: ReadonlyMap<string, string>;
  /** What was seen of the cluster as a whole. */
  readonly observed: readonly { readonly what: string; readonly value: string }[];
}

const NoNodes: { readonly instance_id: string }[] = [];
const Decided = v.looseObject({
  primary: v.fallback(v.optional(InstanceId), undefined),
  candidate: v.fallback(v.optional(InstanceId), undefined),
  nodes: v.fallback(v.array(v.looseObject({ instance_id: v.string() })), NoNodes),
  parameters: v.fallback(v.record(v.string(), v.unknown()), {}),
});

/** Reads what a plan decided, for people; what is missing or has another form is left out. */
export function changeOf(
  { decided, observed }: Pick<OperationPlan, "decided" | "observed">,
  instances: readonly SeenInstance[],
): Change {
  const { primary, candidate, nodes, parameters } = v.parse(Decided, decided);
  const ids = new Set(nodes.map(({ instance_id }) => instance_id));
  return {
    primary,
    candidate,
    nodes: nodes.map(({ instance_id, ...facts }) => ({
      id: instance_id,
      address: instances.find((instance) => instance.instance_id === instance_id)?.private_ip,
      facts: scalars(facts),
      seen: observed.find(({ what }) => what === instance_id)?.value,
    })),
    parameters: scalars(parameters),
    observed: observed.filter(({ what }) => !ids.has(what)),
  };
}

const scalars = (values: Readonly<Record<string, unknown>>): Map<string, string> =>
  new Map(
    Object.entries(values).flatMap(([name, value]): [string, string][] => {
      if (typeof value === "boolean") return [[name, value ? "yes" : "no"]];
      return typeof value === "string" || typeof value === "number" ? [[name, String(value)]] : [];
    }),
  );
