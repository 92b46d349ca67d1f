import { Failure, messageOf } from "#contract/failure-reasons.ts";
import { leaseTimings } from "#contract/lease.ts";
import type { Grant } from "../../coordination/lease.ts";
import type { Step } from "../../operation/step.ts";
import { freezeAndChoose } from "../attempt.ts";
import type { ClusterNode } from "../cluster-node.ts";
import { firstAckers, startApplying } from "../first-ackers.ts";
import type { SwitchoverContext } from "./context.ts";

type SwitchoverStep = Step<SwitchoverContext>;

/** How long connections that arrive are held at most, milliseconds: longer than any window, shorter than people wait. */
const holdMs = 5000;
/** How long the old primary may take to become read-only, milliseconds. */
const demoteMs = 2000;
/** How long the candidate may take to apply what is missing, milliseconds. */
const catchUpMs = 3000;
/** How long the election lock is waited for, milliseconds. */
const electionMs = 3000;

const all = (c: SwitchoverContext): ClusterNode[] => [c.candidate, ...c.others, ...(c.old ? [c.old] : [])];

/** Tells everyone; who does not answer finds out by itself. */
const tellAll = async (c: SwitchoverContext, tell: (node: ClusterNode) => Promise<unknown>): Promise<number> => {
  const told = await Promise.allSettled(all(c).map(tell));
  return told.filter(({ status }) => status === "fulfilled").length;
};

const required = <T>(value: T | undefined, what: string): T => {
  if (value === undefined) throw new Failure("internal", { message: `The step needs ${what}, which is not there.` });
  return value;
};

const afterRecord = (c: SwitchoverContext) => required(c.after, "the new record");

/** The record that names the candidate, as it is now: its version changes with its ackers. */
const freshAfter = async (c: SwitchoverContext) => {
  const known = afterRecord(c);
  const read = await c.topology.read();
  if (read?.instance_id !== known.instance_id) {
    throw new Failure("superseded", { message: `${read?.instance_id ?? "nobody"} is recorded as primary meanwhile.` });
  }
  c.after = read;
  return read;
};

/**
 * That the holder of a lock has died is known only after it was watched for a lease. Whoever left the election lock behind is
 * watched before anything is refused, not in the window. Error: `lock-held`.
 */
const electionIsFree = async (c: SwitchoverContext): Promise<void> => {
  const until = c.now() + electionMs + leaseTimings.short.leaseMs;
  for (;;) {
    const { item, state } = await c.election.observe();
    if (state !== "held") return;
    if (c.now() >= until) {
      throw new Failure("lock-held", { message: `${item?.owner ?? "Another"} holds the election lock.` });
    }
    await c.sleep(leaseTimings.short.observeEveryMs);
  }
};

const prepare: SwitchoverStep = {
  name: "prepare",
  description:
    "begin a new binlog on the candidate, so that replicas find their place in it at once; start the probe client",
  apply: async (c) => {
    await electionIsFree(c);
    await c.pauseRecoveries();
    await c.candidate.rotate(c.before.fence);
    // A measurement that cannot be made is no reason to change nothing.
    c.probe = await c.startProbe().catch((error: unknown) => {
      c.log.warn(`no probe client: ${messageOf(error)}`);
      return undefined;
    });
    await Promise.all(all(c).map((node) => node.prepare()));
    return undefined;
  },
  undo: (c) => c.resumeRecoveries(),
};

/** Others that may be placed under the candidate while the old primary keeps as many ackers as its commits wait for. */
const placeable = (c: SwitchoverContext): readonly ClusterNode[] => {
  const { ackers, degraded, wait_count } = c.before;
  const isAcker = (node: ClusterNode): boolean => ackers.some((acker) => acker.instance_id === node.instanceId);
  if (degraded || !isAcker(c.candidate)) return [];
  const keep = wait_count - 1;
  const acking = c.others.filter(isAcker);
  return c.others.filter((node) => !isAcker(node) || acking.indexOf(node) >= keep);
};

const place: SwitchoverStep = {
  name: "place",
  description: "have other replicas receive from the candidate already, so that it has ackers from its first moment on",
  apply: async (c) => {
    const nodes = placeable(c);
    const answers = await Promise.all(
      nodes.map((node) =>
        node.place(c.before.fence, c.operation.operation_id, c.candidate.privateIp).catch(() => ({ follows: false })),
      ),
    );
    c.placed = nodes.filter((_, n) => answers[n]?.follows);
    return `${c.placed.length} of ${c.others.length} others receive from it`;
  },
  undo: async (c) => {
    const record = required(await c.topology.read(), "the topology record");
    await Promise.all(c.others.map((node) => node.repoint(record.fence, record.rvn).catch(() => {})));
  },
};

/** Asks for the election lock, and renews it from the moment it is given: what comes until its own step may take as long as a lease. */
const askForLock = (c: SwitchoverContext): Promise<Grant> => {
  c.lockPending ??= c.election.acquire({ deadlineMs: electionMs, fenceAbove: c.before.fence }).then((grant) => {
    grant.startRenewing();
    return grant;
  });
  // Whoever waits for it is told.
  c.lockPending.catch(() => {});
  return c.lockPending;
};

/** Releases the election lock, also one that was asked for and not given yet. */
const releaseLock = async (c: SwitchoverContext): Promise<void> => {
  const grant = c.electionGrant ?? (await c.lockPending?.catch(() => undefined));
  c.electionGrant = undefined;
  c.lockPending = undefined;
  await grant?.release("the switchover was undone");
};

const drain: SwitchoverStep = {
  name: "drain",
  description: "hold new connections for writes at the forwarders of all nodes",
  apply: async (c) => {
    // It takes as long as several steps of the window, and does no harm before its own.
    void askForLock(c);
    const told = await tellAll(c, (node) => node.drain(c.before.fence, holdMs));
    await Promise.all(all(c).map((node) => node.prepare()));
    return `${told} of ${all(c).length} nodes hold them`;
  },
  undo: async (c) => {
    const fence = (await c.topology.read())?.fence ?? c.before.fence;
    await tellAll(c, (node) => node.drain(fence, 0));
    await releaseLock(c);
  },
};

/** How often the old primary is looked at while its own agent reopens it. */
const reopenTries = 12;

/** How long its own agent is given between two looks, milliseconds. */
const reopenEveryMs = 250;

/**
 * Has the old primary, which is recorded, accept writes again under a new fence. Its own agent may do so at the same moment, because the
 * operation's lock was stale: then the command comes under a fence that is too low, and it is looked at again. Error: `superseded`
 * when another is recorded, or when it stays so.
 */
const reopenOld = async (c: SwitchoverContext, triesLeft: number): Promise<void> => {
  const record = required(await c.topology.read(), "the topology record");
  await releaseLock(c);
  if (record.instance_id !== c.before.instance_id) {
    throw new Failure("superseded", { message: `${record.instance_id} is recorded as primary meanwhile.` });
  }
  if (!c.old) return;
  const { kind, operation_id } = c.operation;
  try {
    const { mysql } = await c.old.inspect(record.fence);
    if (mysql.up && mysql.super_read_only === false && mysql.read_only === false) return;
    await c.old.reopen(record.fence, `${kind} ${operation_id} was undone`, operation_id);
  } catch (error) {
    if (!(error instanceof Failure && error.reason === "superseded") || triesLeft === 1) throw error;
    await c.sleep(reopenEveryMs);
    return reopenOld(c, triesLeft - 1);
  }
};

const demote: SwitchoverStep = {
  name: "demote",
  description: "make the old primary read-only, then end the sessions of its clients",
  inWindow: true,
  apply: async (c) => {
    const old = required(c.old, "the old primary");
    c.refusedSince = c.now();
    const answer = await old.demote(c.before.fence, c.operation.operation_id, demoteMs);
    void old.prepare();
    c.goal = answer.executed_gtid_set;
    c.sessionsEnded = answer.sessions_ended;
    return `${answer.sessions_ended} sessions ended`;
  },
  undo: (c) => reopenOld(c, reopenTries),
};

/** The candidate follows the recorded primary again. */
const followAgain = async (c: SwitchoverContext): Promise<void> => {
  const read = required(await c.topology.read(), "the topology record");
  await c.candidate.repoint(read.fence, read.rvn).catch(() => {});
};

const catchUp: SwitchoverStep = {
  name: "catch-up",
  description: "wait until the candidate has applied everything; others that have, too, are its first ackers",
  inWindow: true,
  apply: async (c) => {
    const { fence } = c.before;
    const followers = startApplying(c.others, fence, c.goal, catchUpMs);
    await c.candidate.apply(fence, c.goal, catchUpMs, { thenStopFor: c.operation.operation_id });
    c.readPending = c.topology.read();
    c.readPending.catch(() => {});
    c.ackersPending = firstAckers(followers, c.before.wait_count);
    for (const node of [c.candidate, ...c.others]) void node.prepare();
    return undefined;
  },
  undo: followAgain,
};

const stopReplication: SwitchoverStep = {
  name: "stop-replication",
  description: "stop the candidate's replication from the old primary",
  inWindow: true,
  apply: async (c) => {
    await c.candidate.stop(c.before.fence, c.operation.operation_id);
    void c.candidate.prepare();
    return undefined;
  },
  undo: followAgain,
};

const takeLock: SwitchoverStep = {
  name: "take-lock",
  description: "take the election lock, which gives the new fence",
  inWindow: true,
  apply: async (c) => {
    c.electionGrant = await askForLock(c);
    return `fence ${c.electionGrant.fence}`;
  },
  undo: (c) => releaseLock(c),
};

const writeRecord = async (c: SwitchoverContext, triesLeft: number): Promise<string> => {
  const grant = required(c.electionGrant, "the election lock");
  if (c.ackersPending !== undefined) c.ackers = await c.ackersPending;
  // Acker changes that were under way when the old primary was demoted are the only ones that may have come between.
  const read = required(await (c.readPending ?? c.topology.read()), "the topology record");
  c.readPending = undefined;
  if (read.instance_id !== c.before.instance_id || read.fence !== c.before.fence) {
    throw new Failure("superseded", {
      message: `The record names ${read.instance_id} under fence ${read.fence}; the switchover began with ${c.before.instance_id} under ${c.before.fence}.`,
    });
  }
  grant.assertHeld();
  c.operationGrant.assertHeld();
  const { degraded, ...rest } = read;
  const needsDegraded = c.forced && c.ackers.length < read.wait_count;
  const written = await c.topology.write(
    {
      ...rest,
      ...(needsDegraded
        ? {
            degraded: {
              since: new Date().toISOString(),
              by: "a forced promotion",
              operation_id: c.operation.operation_id,
            },
          }
        : degraded && c.ackers.length < read.wait_count
          ? { degraded }
          : {}),
      instance_id: c.candidate.instanceId,
      private_ip: c.candidate.privateIp,
      server_uuid: c.candidateUuid,
      fence: grant.fence,
      ...(c.forced ? { timeline: read.timeline + 1, branch_gtid_set: c.goal } : {}),
      ackers: [...c.ackers],
      failover_from: c.before.instance_id,
      reason: `${c.forced ? "forced promotion" : "switchover"} ${c.operation.operation_id}`,
      operation_id: c.operation.operation_id,
    },
    { readRvn: read.rvn, needsHigherFence: true },
  );
  if (written.outcome === "superseded") {
    const { current } = written;
    // Its ackers changed between the reading and the write; nobody else is primary.
    if (triesLeft > 1 && current?.instance_id === c.before.instance_id && current.fence === c.before.fence) {
      return writeRecord(c, triesLeft - 1);
    }
    throw new Failure("superseded", {
      message: `The record was changed meanwhile; ${written.current?.instance_id ?? "nobody"} is the primary.`,
    });
  }
  c.after = written.record;
  return `fence ${grant.fence}, ${c.ackers.length} of ${c.others.length} others have applied everything`;
};

const record: SwitchoverStep = {
  name: "record",
  description: "record the candidate as primary under the new fence: the point of no return",
  inWindow: true,
  pointOfNoReturn: true,
  apply: (c) => writeRecord(c, 5),
};

const open: SwitchoverStep = {
  name: "open",
  description: "the candidate takes the primary lease over, switches semi-sync on and opens; the others follow it",
  inWindow: true,
  apply: async (c) => {
    let after = afterRecord(c);
    if (!c.electionGrant?.held()) {
      after = await freshAfter(c);
      const { mysql } = await c.candidate.inspect(after.fence);
      // Taken up again: its own agent may have opened it.
      if (mysql.read_only === false && mysql.super_read_only === false) return "it is open already";
    }
    c.electionGrant?.assertHeld();
    for (const node of c.others.filter((each) => !c.placed.includes(each)))
      void node.repoint(after.fence, after.rvn, c.goal).catch(() => {});
    await c.candidate.open(after.fence, after.rvn, c.refusedSince === undefined ? undefined : c.now() - c.refusedSince);
    // Connections that are held go to it at once; whether everyone has heard of it is the route step's matter.
    for (const node of all(c)) void node.nudge(after.fence, after).catch(() => {});
    return undefined;
  },
};

const repoint: SwitchoverStep = {
  name: "repoint",
  description: "have enough replicas follow the new primary that commits are acknowledged",
  inWindow: true,
  apply: async (c) => {
    const after = await freshAfter(c);
    const answers = await Promise.all(
      c.others.map((node) =>
        node.repoint(after.fence, after.rvn, c.goal).catch((error: unknown) => ({
          follows: false,
          because: messageOf(error),
        })),
      ),
    );
    const following = answers.filter(({ follows }) => follows).length;
    if (following < after.wait_count && !c.old && !after.degraded) c.log.warn("too few replicas follow yet");
    return `${following} of ${c.others.length} replicas follow`;
  },
};

const route: SwitchoverStep = {
  name: "route",
  description: "have the forwarders of all nodes send connections to the new primary",
  inWindow: true,
  apply: async (c) => {
    const after = afterRecord(c);
    const told = await tellAll(c, (node) => node.nudge(after.fence, after));
    await c.electionGrant?.release("the switchover is through");
    return `${told} of ${all(c).length} nodes know`;
  },
};

const oldFollows: SwitchoverStep = {
  name: "old-primary",
  description: "the old primary follows as a replica",
  apply: async (c) => {
    const after = afterRecord(c);
    await c.resumeRecoveries();
    if (!c.old) return "it is gone";
    for (let tries = 1; ; tries++) {
      const answer = await c.old.repoint(after.fence, after.rvn, c.goal).catch((error: unknown) => ({
        follows: false,
        because: messageOf(error),
      }));
      if (answer.follows) return undefined;
      if (tries === 3) return `not yet: ${answer.because}`;
      await c.sleep(250);
    }
  },
};

const freezeOthers: SwitchoverStep = {
  name: "freeze",
  description: "stop the receivers of all replicas that answer, whatever their streams say",
  apply: async (c) => {
    const grant = required(c.electionGrant, "the election lock");
    const chosen = await freezeAndChoose(
      {
        topology: c.topology,
        nodes: [c.candidate, ...c.others],
        me: c.me,
        log: c.log,
        now: c.now,
        stopAt: async () => {},
      },
      c.before,
      grant.fence,
      { acceptLoss: true, preferred: c.candidate.instanceId },
    );
    if (chosen.node.instanceId !== c.candidate.instanceId) {
      throw new Failure("no-safe-candidate", {
        message: `${chosen.node.instanceId} has more than ${c.candidate.instanceId}; name it as the target.`,
        changed: "Nothing was changed.",
      });
    }
    c.goal = chosen.union;
    await c.candidate.apply(grant.fence, c.goal, 600_000);
    c.ackers = (
      await Promise.all(
        chosen.others.map(async (node) => {
          const applied = await node.apply(grant.fence, c.goal, catchUpMs).catch(() => undefined);
          return applied?.incarnation === undefined
            ? []
            : [{ instance_id: node.instanceId, incarnation: applied.incarnation }];
        }),
      )
    ).flat();
    await c.candidate.stop(grant.fence, c.operation.operation_id);
    return chosen.missing.length > 0 ? `without ${chosen.missing.join(", ")}` : undefined;
  },
};

/** The steps of a switchover, in order. */
export const switchoverSteps: readonly SwitchoverStep[] = [
  prepare,
  place,
  drain,
  demote,
  catchUp,
  stopReplication,
  takeLock,
  record,
  open,
  repoint,
  route,
  oldFollows,
];

/** The steps of a promotion whose loss a person accepts: the primary does not answer. */
export const forcedSteps: readonly SwitchoverStep[] = [takeLock, freezeOthers, record, open, repoint, route];
