/** One instance that the cluster's group has, or has just lost. */
export interface RaftInstance {
  readonly address: string;
  /** Auto Scaling's own word, for example `InService`, `Pending:Wait`, `Terminating:Wait`. */
  readonly lifecycleState: string;
  /** Whether its Orchestrator answered lately; one that is not there yet would only raise the quorum. */
  readonly answers: boolean;
}

/** What is known when the peers are compared with the group. */
export interface RaftView {
  /** This node's address. */
  readonly self: string;
  readonly instances: readonly RaftInstance[];
  /** Peers of this node's Orchestrator, itself among them; undefined while it does not answer. */
  readonly peers: readonly string[] | undefined;
  /** Who leads as this node sees it; undefined when nobody does. */
  readonly leader: string | undefined;
  /** `RaftNodes` of this node's configuration file. */
  readonly fileNodes: readonly string[];
}

/** What to do next, one change at a time. */
export type RaftStep =
  | { readonly do: "rewrite-file"; readonly nodes: readonly string[]; readonly because: string }
  | { readonly do: "remove-peer"; readonly address: string; readonly because: string }
  | { readonly do: "add-peer"; readonly address: string; readonly because: string }
  /** This node's Orchestrator is to be restarted, so that it reads `RaftNodes` again. */
  | { readonly do: "restart"; readonly because: string }
  | { readonly do: "nothing"; readonly because: string };

/** States of an instance that will not come back. */
const gone = new Set(["Terminating:Proceed", "Terminated", "Detached"]);

/**
 * Whether raft may count on an instance. One that is held in `Terminating:Wait` still hands over, for as long as its
 * Orchestrator answers: one that has ended it, or is dead, would only raise the quorum until its hook is completed. A node
 * that asks itself whether it is one of them does so by its state alone.
 */
const isMember = ({ address, answers, lifecycleState }: RaftInstance, self: string): boolean =>
  !gone.has(lifecycleState) && (answers || address === self || !lifecycleState.startsWith("Terminating"));

/** Addresses sorted as numbers, so that all nodes write the same file. */
const sorted = (addresses: Iterable<string>): string[] => {
  const number = (address: string): number => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  return [...new Set(addresses)].sort((one, other) => number(one) - number(other) || (one < other ? -1 : 1));
};

const nothing = (because: string): RaftStep => ({ do: "nothing", because });

/**
 * Decides one step towards peers that are the group's instances. The file comes first, so that a restart does not undo the
 * change. Only the node that leads changes peers. A peer whose instance is merely silent stays: removing it would let the rest
 * believe in a quorum that it is part of. Removals come before additions, because a dead peer raises the quorum.
 */
export const nextRaftStep = (view: RaftView): RaftStep => {
  const members = sorted(view.instances.filter((each) => isMember(each, view.self)).map((each) => each.address));
  if (!members.includes(view.self)) return nothing(`this node, ${view.self}, is not in the group or leaves it`);
  // With itself alone in the file, Orchestrator would begin a raft of its own and lead it.
  if (members.length < 2) return nothing("the group has no other instance yet");
  if (members.join() !== view.fileNodes.join()) {
    return { do: "rewrite-file", nodes: members, because: `the group has ${members.join(", ")}` };
  }
  if (view.peers === undefined) return nothing("this node's Orchestrator does not answer");
  const present = view.peers.filter((peer) => members.includes(peer));
  const quorum = Math.floor(view.peers.length / 2) + 1;
  if (view.leader === undefined) {
    return present.length < quorum
      ? {
          do: "restart",
          because: `${present.length} of ${view.peers.length} peers are left in the group: raft cannot have a quorum of ${quorum} again without reading RaftNodes anew`,
        }
      : nothing("nobody leads now; an election comes first");
  }
  if (view.leader !== view.self) return nothing(`${view.leader} leads and changes the peers`);
  const dead = sorted(view.peers).find((peer) => !members.includes(peer));
  if (dead !== undefined) {
    return { do: "remove-peer", address: dead, because: `the group has no instance at ${dead} any more` };
  }
  const waiting = view.instances.filter(({ address }) => members.includes(address) && !view.peers?.includes(address));
  const added = sorted(waiting.filter((each) => each.answers).map((each) => each.address))[0];
  if (added !== undefined) return { do: "add-peer", address: added, because: `the group has an instance at ${added}` };
  return nothing(waiting.length > 0 ? "an instance that is no peer does not answer yet" : "the peers are the group's");
};
