import type { NodeStatus } from "#contract/agent-api.ts";
import type { Disagreement, StatusNode } from "#contract/cluster-status.ts";
import type { ClusterSnapshot, SeenNode } from "../snapshot.ts";

/** What the finders look at. */
export interface ClusterView {
  readonly snapshot: ClusterSnapshot;
  /** One for each of the snapshot's nodes, in the same order. */
  readonly nodes: readonly StatusNode[];
}

/** The node is on its way into the group: it restores and catches up, and is expected to lack things. */
export const isJoining = (node: SeenNode): boolean => node.lifecycle?.startsWith("Pending") ?? false;

/** The node is on its way out of the group. */
export const isLeaving = (node: SeenNode): boolean => /^(Terminat|Detach)/.test(node.lifecycle ?? "");

/** Looks for one kind of disagreement. */
export type Finder = (view: ClusterView) => Disagreement[];

/** A node as it was seen, and what it is in the status. */
export interface Pair {
  readonly seen: SeenNode;
  readonly node: StatusNode;
}

export const pairs = ({ snapshot, nodes }: ClusterView): Pair[] =>
  snapshot.nodes.flatMap((seen, index) => {
    const node = nodes[index];
    return node === undefined ? [] : [{ seen, node }];
  });

/** The nodes that told their own status. */
export const answering = (view: ClusterView): (Pair & { readonly status: NodeStatus })[] =>
  pairs(view).flatMap(({ seen, node }) => (seen.reading.answered ? [{ seen, node, status: seen.reading.status }] : []));

/** The node that the record names, when its instance is there. */
export const primaryOf = (view: ClusterView): Pair | undefined =>
  pairs(view).find(({ node }) => node.role === "primary");

export const finding = (
  severity: Disagreement["severity"],
  kind: Disagreement["kind"],
  instance_ids: readonly string[],
  seen: string,
  meaning: string,
): Disagreement => ({ kind, severity, instance_ids: [...instance_ids], seen, meaning });

export const critical = (
  kind: Disagreement["kind"],
  ids: readonly string[],
  seen: string,
  meaning: string,
): Disagreement => finding("critical", kind, ids, seen, meaning);

export const warning = (
  kind: Disagreement["kind"],
  ids: readonly string[],
  seen: string,
  meaning: string,
): Disagreement => finding("warning", kind, ids, seen, meaning);

/** `a, b and c`. */
export const list = (words: readonly string[]): string =>
  words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
