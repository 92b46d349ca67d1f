import { monotonicMs } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";

/** How long connections are held for a primary that is recorded and not known to be open, milliseconds. */
const openingPatienceMs = 1000;

/** The node that connections for writes go to now; undefined holds them back. */
const writesGoTo = ({ state }: AgentContext): string | undefined => {
  const { record } = state;
  const now = monotonicMs();
  if (record?.phase !== "serving" || now < state.drainingUntil) return undefined;
  // What is sent to a primary that is not open yet is refused there.
  if (state.openedFence < record.fence && now - state.newPrimaryAt < openingPatienceMs) return undefined;
  return record.private_ip;
};

/** What this node's forwarder depends on, as one text. */
export const forwardingKey = (context: AgentContext): string =>
  `${writesGoTo(context)} ${context.state.record?.fence} ${context.state.peers?.map((peer) => peer.privateIp).join(",")}`;

/** Tells this node's HAProxy who the primary is, and who is there at all. */
export const applyForwarding = async (context: AgentContext): Promise<void> => {
  const { forwarder, identity, state } = context;
  if (!forwarder || state.peers === undefined) return;
  const nodes = [identity, ...state.peers].map(({ instanceId, privateIp }) => ({ instanceId, address: privateIp }));
  const recorded = state.record?.private_ip;
  // Sessions to anybody but the recorded primary are to a node that was replaced.
  const replaced = recorded !== undefined && recorded !== state.forwardedTo;
  await forwarder.apply({
    nodes,
    primary: writesGoTo(context),
    cut: replaced ? nodes.map((node) => node.address).filter((address) => address !== recorded) : [],
  });
  state.forwardedTo = recorded;
};
