import { describeFailure, Failure } from "#contract/failure-reasons.ts";
import { units } from "#contract/names.ts";
import { operationOfPurpose } from "#contract/operation.ts";
import { monotonicMs } from "../host/wait.ts";
import type { RaftStatus } from "../orchestrator/answers.ts";
import { downtimesToEnd, instancesToForget } from "../orchestrator/downtime.ts";
import { yieldBeforeStop } from "../orchestrator/hand-over.ts";
import type { NodeOrchestrator } from "../orchestrator/on-node.ts";
import { nextRaftStep, type RaftInstance, type RaftStep } from "../orchestrator/raft-reconcile.ts";
import type { AgentContext } from "./context.ts";
import type { Loop } from "./loops.ts";
import { attemptWithoutHook } from "./orchestrator-attempt.ts";

/** How often Orchestrator is compared with the group and the record, milliseconds. */
const reconcileEveryMs = 2000;
/** How often a primary that nobody replaces is looked for, milliseconds. */
const silenceEveryMs = 250;
/** How old a list of the group's instances may be, milliseconds. */
const groupForMs = 4000;
/** How often the unit is started or restarted at most, milliseconds. */
const startEveryMs = 15_000;
/** How long it may be silent before that is a problem, milliseconds. */
const silentForMs = 30_000;
/** How often the one that leads cleans up what it knows, milliseconds. */
const tidyEveryMs = 10_000;
/**
 * The hook has to be through, and Orchestrator has to have seen the replicas in their new places, before a recovery is
 * acknowledged, milliseconds; otherwise it asks once more for the same failure.
 */
const acknowledgeAfterMs = 5000;
/** A recovery blocks others for 30 s, so that an acknowledgement is of no use later, milliseconds. */
const acknowledgeWithinMs = 60_000;

/** What a reconciler remembers between two rounds; times are milliseconds on the monotonic clock. */
interface Memory {
  members: readonly Omit<RaftInstance, "answers">[] | undefined;
  membersAt: number;
  password: string | undefined;
  startedAt: number;
  answeredAt: number;
  tidiedAt: number;
}

/** The group's instances that EC2 has an address for. Without an answer of AWS, those of the last one. */
const members = async (context: AgentContext, memory: Memory): Promise<Memory["members"]> => {
  const { autoScaling, config, identity, log, state } = context;
  const now = monotonicMs();
  if (state.peers === undefined || now - memory.membersAt < groupForMs) return memory.members;
  try {
    const group = await autoScaling.describeGroup(config.asg_name);
    const addresses = new Map([identity, ...state.peers].map(({ instanceId, privateIp }) => [instanceId, privateIp]));
    memory.members = group?.instances.flatMap(({ instanceId, lifecycleState }) => {
      const address = addresses.get(instanceId);
      return address === undefined ? [] : [{ address, lifecycleState }];
    });
    memory.membersAt = now;
  } catch (error) {
    log.debug(`the group was not read: ${describeFailure(error)}`);
  }
  return memory.members;
};

/** Writes the password when it is another one. Answers whether Orchestrator has to read its files again. */
const writePassword = async (context: AgentContext, own: NodeOrchestrator, memory: Memory): Promise<boolean> => {
  const password = (await context.credentials()).orchestrator;
  if (password === memory.password) return false;
  const written = await own.config.write({ password });
  memory.password = password;
  return written;
};

/** Starts the unit, or restarts it, but not again and again. */
const startUnit = async (context: AgentContext, memory: Memory, because: string, restart: boolean): Promise<void> => {
  const { log, services } = context;
  const now = monotonicMs();
  if (now - memory.startedAt < startEveryMs) return;
  memory.startedAt = now;
  log.info(`${restart ? "restarting" : "starting"} Orchestrator: ${because}`);
  if (restart) await services.restartLater(units.orchestrator);
  else await services.start(units.orchestrator);
};

const carryOut = async (
  context: AgentContext,
  own: NodeOrchestrator,
  memory: Memory,
  step: RaftStep,
): Promise<void> => {
  const { log } = context;
  switch (step.do) {
    case "nothing":
      return log.debug(`raft: ${step.because}`);
    case "rewrite-file":
      await own.config.write({ raftNodes: step.nodes });
      return log.info(`RaftNodes are ${step.nodes.join(", ")} now: ${step.because}`);
    case "remove-peer":
      await own.client.removePeer(step.address);
      return log.warn(`removed the raft peer ${step.address}: ${step.because}`);
    case "add-peer":
      await own.client.addPeer(step.address);
      return log.info(`added the raft peer ${step.address}: ${step.because}`);
    case "restart":
      return startUnit(context, memory, step.because, true);
  }
};

/** Ends the time for which vetoed recoveries keep Orchestrator from asking again. */
const acknowledge = async (context: AgentContext, own: NodeOrchestrator): Promise<void> => {
  const { log, state } = context;
  const { toAcknowledge } = state.orchestrator;
  for (const [uid, { because, since }] of toAcknowledge) {
    const waited = monotonicMs() - since;
    if (waited < acknowledgeAfterMs) continue;
    try {
      await own.client.acknowledgeRecovery(uid, `vetoed by the agent: ${because.slice(0, 500)}`);
      toAcknowledge.delete(uid);
      log.info(`acknowledged recovery ${uid}`);
    } catch (error) {
      if (waited > acknowledgeWithinMs) toAcknowledge.delete(uid);
      log.debug(`recovery ${uid} is not acknowledged yet: ${describeFailure(error)}`);
    }
  }
};

/** An operation that died may have left them paused. */
const resumeRecoveries = async (context: AgentContext, own: NodeOrchestrator): Promise<void> => {
  if (await own.client.recoveriesEnabled()) return;
  const lock = await context.operationLock.observe();
  if (lock.state === "held" && operationOfPurpose(lock.item?.purpose) !== undefined) return;
  await own.client.enableRecoveries();
  context.log.warn("Orchestrator's recoveries are on again: no live operation keeps them paused");
};

/** Ends downtimes of what is back, forgets what is gone, gets to know what is new. */
const tidy = async (context: AgentContext, own: NodeOrchestrator, addresses: readonly string[]): Promise<void> => {
  const { log, state } = context;
  const primary = state.record?.private_ip;
  if (primary === undefined) return;
  for (const address of downtimesToEnd(await own.client.downtimed(), primary, addresses)) {
    await own.client.endDowntime(address);
    log.info(`ended the downtime of ${address}: it is back`);
  }
  const known = await own.client.instances();
  for (const address of instancesToForget(known, addresses)) {
    await own.client.forget(address);
    log.info(`Orchestrator forgets ${address}: the group has no such instance`);
  }
  for (const address of addresses) {
    // One that does not answer cannot be got to know.
    if (!known.some(({ host }) => host === address)) await own.client.discover(address).catch(() => {});
  }
};

/** What this node's Orchestrator says of raft, and who of its peers answers. */
const look = async (
  context: AgentContext,
  own: NodeOrchestrator,
  addresses: readonly string[],
): Promise<{ readonly raft: RaftStatus | undefined; readonly alive: ReadonlySet<string> }> => {
  const { identity, state } = context;
  const raft = await own.client.raftStatus().catch(() => undefined);
  const others = new Set([...(raft?.peers ?? []), ...addresses].filter((address) => address !== identity.privateIp));
  const answers = await Promise.all([...others].map(async (each) => ((await own.answersAt(each)) ? [each] : [])));
  const alive = new Set([...answers.flat(), ...(raft ? [identity.privateIp] : [])]);
  const peers = raft?.peers ?? state.orchestrator.raft?.peers.map(({ address }) => address) ?? [];
  state.orchestrator.raft = { peers: [...peers].sort().map((address) => ({ address, alive: alive.has(address) })) };
  return { raft, alive };
};

const reconcile = async (context: AgentContext, memory: Memory): Promise<void> => {
  const { identity, orchestrator: own, state } = context;
  if (!own) {
    throw new Failure("bad-input", {
      message: "The failover engine is orchestrator, but the node's configuration has no orchestrator.config_file.",
    });
  }
  if (state.orchestrator.left) return;
  const instances = await members(context, memory);
  if (instances === undefined) return;
  const passwordChanged = await writePassword(context, own, memory);
  const addresses = instances.map(({ address }) => address);
  const { raft, alive } = await look(context, own, addresses);
  const fileNodes = await own.config.raftNodes();
  const step = nextRaftStep({
    self: identity.privateIp,
    instances: instances.map((each) => ({ ...each, answers: alive.has(each.address) })),
    peers: raft?.peers,
    leader: raft?.leader,
    fileNodes,
  });
  await carryOut(context, own, memory, step);
  const now = monotonicMs();
  if (raft) memory.answeredAt = now;
  else if (state.bootstrap?.state !== "joined" || step.do === "rewrite-file") memory.answeredAt = now;
  // With itself alone in the file it would lead a raft of its own.
  else if (fileNodes.length >= 2) await startUnit(context, memory, "it does not answer", false);
  if (raft && passwordChanged) await startUnit(context, memory, "its password has changed", true);
  await acknowledge(context, own);
  if (raft?.leader === identity.privateIp && raft.state === "Leader") {
    await resumeRecoveries(context, own);
    if (now - memory.tidiedAt >= tidyEveryMs) {
      memory.tidiedAt = now;
      await tidy(context, own, addresses);
    }
  }
  if (now - memory.answeredAt > silentForMs) {
    throw new Failure("node-unreachable", {
      message: `Orchestrator of this node has not answered for ${Math.round((now - memory.answeredAt) / 1000)} s.`,
      next: "See the unit orchestrator of this node. A primary that dies is replaced by the agents meanwhile, 15 s later.",
    });
  }
};

/** What an agent does around its node's Orchestrator; nothing with another engine. */
export const orchestratorLoops = (context: AgentContext): Loop[] => {
  if (context.config.failover_engine !== "orchestrator") return [];
  const never = Number.NEGATIVE_INFINITY;
  const memory: Memory = {
    members: undefined,
    membersAt: never,
    password: undefined,
    startedAt: never,
    answeredAt: monotonicMs(),
    tidiedAt: never,
  };
  return [
    { name: "orchestrator", everyMs: reconcileEveryMs, round: () => reconcile(context, memory) },
    { name: "no hook", everyMs: silenceEveryMs, round: () => attemptWithoutHook(context), wakes: true },
  ];
};

/**
 * Hands raft's leadership to another node and stops this one's Orchestrator for good, before the node stops or leaves. The one
 * that leads removes it from the peers once the group has let it go. Never fails: a node that leaves is not held up by it.
 */
export const leaveRaft = async (
  context: Pick<AgentContext, "identity" | "log" | "orchestrator" | "services" | "signal" | "state">,
): Promise<void> => {
  const { identity, log, orchestrator: own, services, signal, state } = context;
  if (!own || state.orchestrator.left) return;
  state.orchestrator.left = true;
  const others = state.orchestrator.raft?.peers.filter(({ address, alive }) => alive && address !== identity.privateIp);
  const candidates = (others ?? []).map(({ address }) => address);
  try {
    const done = await yieldBeforeStop(own.client, identity.privateIp, candidates, { signal });
    log.info(done.did === "yielded" ? `${done.leader} leads raft now` : `leaves raft: ${done.because}`);
  } catch (error) {
    log.warn(`leadership of raft was not handed over: ${describeFailure(error)}`);
  }
  await services.stop(units.orchestrator).catch((error: unknown) => log.warn(describeFailure(error)));
};
