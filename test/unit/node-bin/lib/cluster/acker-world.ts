import * as gtid from "#contract/gtid.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import {
  type AckerView,
  decideAckers,
  enoughHold,
  type GtidSets,
  type PrimaryLog,
  type ReplicaView,
} from "#node/lib/cluster/ackers.ts";
import { decideAgent } from "#node/lib/cluster/agent-decision.ts";
import { decideFailover, mayFreeze } from "#node/lib/cluster/failover-decision.ts";
import { decidePromotion, type FrozenReplica } from "#node/lib/cluster/promotion.ts";
import { record, uuid1 } from "./samples.ts";

/** The rules that keep acknowledged writes, each of which can be left out to see what it is for. */
export type Rule =
  /** A restarted acker does not count. */
  | "incarnation"
  /** Listed only after it holds everything. */
  | "hold"
  /** N-w+1 ackers are frozen before one is promoted. */
  | "quorum"
  /** Before the list is shortened the others hold everything. */
  | "shrink-wait"
  /** Only listed replicas acknowledge. */
  | "listed-only"
  /** One that was told to stop does not begin again under the same version of the record. */
  | "told-to-stop"
  /** One that cannot be asked is refused by the primary. */
  | "refuse"
  /** A freeze does not end by itself. */
  | "freeze-stays";

/** What may happen; `y` and `c` are replicas. A step that is not possible at the moment does nothing. */
export type WorldStep =
  /** A client commits on the first primary: the commit is in its binlog and waits for acknowledgements. */
  | { readonly do: "write" }
  /** The replica receives the next transaction, and acknowledges it when that is switched on. */
  | { readonly do: "receive"; readonly y: number }
  /** What it has received becomes durable. */
  | { readonly do: "apply"; readonly y: number }
  /** Its oldest acknowledgement under way reaches the first primary. */
  | { readonly do: "deliver"; readonly y: number }
  /** Node 0 is the first primary, which loses nothing. `loses`: what is not durable is gone. */
  | { readonly do: "crash"; readonly node: number; readonly loses: boolean }
  | { readonly do: "restart"; readonly y: number }
  /** Between the first primary and the replica. */
  | { readonly do: "cut"; readonly y: number }
  | { readonly do: "heal"; readonly y: number }
  /** The replica's agent reads the record. */
  | { readonly do: "read"; readonly y: number }
  /** The replica's agent decides about its mysqld, on the record that it read last. */
  | { readonly do: "agent"; readonly y: number }
  /** The first primary's agent looks after its ackers; `patient`: nobody has been away for long yet. */
  | { readonly do: "lead"; readonly patient: boolean }
  /** The first primary takes a new fence, because a higher one was seen. */
  | { readonly do: "new-fence" }
  /** The replica's agent begins an attempt to replace the primary. */
  | { readonly do: "attempt"; readonly c: number }
  | { readonly do: "freeze"; readonly c: number; readonly y: number }
  | { readonly do: "promote"; readonly c: number }
  | { readonly do: "give-up"; readonly c: number };

interface Node {
  up: boolean;
  incarnation: number;
  /** How many transactions of the first primary it holds, and how many of them outlive a crash. */
  log: number;
  durable: number;
  receiverOn: boolean;
  /** It follows a later primary. */
  movedOn: boolean;
  acknowledging: boolean;
  cut: boolean;
  /** The primary has locked its account. */
  refused: boolean;
  seenFence: number;
  stoppedAtRvn: string | undefined;
  record: TopologyRecord;
  goal: { readonly incarnation: number; readonly log: PrimaryLog } | undefined;
  underWay: number[];
}

interface Attempt {
  readonly fence: number;
  readonly record: TopologyRecord;
  readonly frozen: FrozenReplica[];
}

const forEver: GtidSets = { ...gtid, contains: () => true };
const upTo = (last: number): string => (last === 0 ? "" : `${uuid1}:1-${last}`);
const patienceMs = 8000;
const mostWrites = 4;
/** Faults of one history: more of them only make it shorter. */
const mostFaults = 5;

/** Instance id of a node of the world; node 0 is the first primary. */
export const nameOf = (node: number): string => `i-0000000000000000${node + 1}`;

/**
 * One cluster whose agents decide by the product's own functions, and whose network and machines do what the steps say. The
 * first primary goes on writing after it was replaced, as one does that was only cut off.
 */
export const ackerWorld = (nodeCount: number, without: readonly Rule[] = []) => {
  const has = (rule: Rule): boolean => !without.includes(rule);
  const replicas = Array.from({ length: nodeCount - 1 }, (_, i) => i + 1);
  let recorded = record({
    wait_count: Math.floor((nodeCount - 1) / 2),
    ackers: replicas.map((y) => ({ instance_id: nameOf(y), incarnation: "inc-1" })),
    rvn: "rvn-1",
    fence: 5,
  });
  let versions = 1;
  let lock = 5;
  let written = 0;
  let primaryUp = true;
  let faults = 0;
  let promoted: { readonly by: number; readonly union: string } | undefined;
  /** Who has acknowledged each transaction, as the first primary counts. */
  const acks: Set<number>[] = [];
  const nodes = Array.from(
    { length: nodeCount },
    (_, i): Node => ({
      up: true,
      incarnation: 1,
      log: 0,
      durable: 0,
      receiverOn: i > 0,
      movedOn: false,
      acknowledging: i > 0,
      cut: false,
      refused: false,
      seenFence: 5,
      stoppedAtRvn: undefined,
      record: recorded,
      goal: { incarnation: 1, log: { executedSet: "", end: { file: "mysql-bin.000001", offset: 0 } } },
      underWay: [],
    }),
  );
  const attempts = new Map<number, Attempt>();
  const node = (i: number): Node => nodes[i] as Node;
  const replica = (i: number): Node | undefined => (i > 0 ? nodes[i] : undefined);

  const acknowledged = (): number => {
    let last = 0;
    while (last < written && (acks[last]?.size ?? 0) >= recorded.wait_count) last += 1;
    return last;
  };
  const logNow = (): PrimaryLog => ({
    executedSet: upTo(acknowledged()),
    end: { file: "mysql-bin.000001", offset: written },
  });
  const linked = (y: Node): boolean => primaryUp && !y.cut && !y.refused && !y.movedOn;
  const streaming = (y: Node): boolean => y.up && y.receiverOn && linked(y);
  const write = (basis: TopologyRecord, change: Partial<TopologyRecord>): boolean => {
    if (basis.rvn !== recorded.rvn) return false;
    versions += 1;
    recorded = { ...basis, ...change, rvn: `rvn-${versions}` };
    return true;
  };
  const incarnationOf = (n: Node): string => `inc-${n.incarnation}`;
  const isFirstPrimary = (): boolean => primaryUp && recorded.instance_id === nameOf(0);

  const viewOf = (i: number, patient: boolean): ReplicaView => {
    const y = node(i);
    const reachable = y.up && !y.cut;
    const receiving = streaming(y);
    return {
      instanceId: nameOf(i),
      reachable,
      exists: true,
      silentMs: reachable || patient ? 0 : 2 * patienceMs,
      notReceivingMs: receiving || patient ? 0 : 2 * patienceMs,
      incarnation: incarnationOf(y),
      goal: y.goal?.incarnation === y.incarnation ? y.goal.log : undefined,
      receiving,
      applying: true,
      receivedSet: upTo(y.log),
      executedSet: upTo(y.durable),
      readPosition: { file: "mysql-bin.000001", offset: y.log },
      acknowledging: y.acknowledging,
    };
  };

  const lead = (patient: boolean): void => {
    if (!isFirstPrimary()) return;
    const basis = recorded;
    const seen: AckerView = {
      record: basis,
      sourceSemiSyncOn: true,
      replicas: replicas.map((i) => viewOf(i, patient)),
      refused: replicas.filter((i) => node(i).refused).map(nameOf),
      patienceMs,
    };
    const careless = seen.replicas.map((each) => ({
      ...each,
      goal: { executedSet: "", end: { file: "mysql-bin.000001", offset: 0 } },
    }));
    const decision = has("hold") ? decideAckers(seen, gtid) : decideAckers({ ...seen, replicas: careless }, forEver);
    for (const i of replicas) {
      const y = node(i);
      if (y.up && !y.cut && y.goal?.incarnation !== y.incarnation)
        y.goal = { incarnation: y.incarnation, log: logNow() };
    }
    switch (decision.step) {
      case "list":
        write(basis, { ackers: [...decision.ackers] });
        return;
      case "admit":
        for (const i of replicas) if (nameOf(i) === decision.instanceId) node(i).refused = false;
        return;
      case "unlist": {
        const i = replicas.find((each) => nameOf(each) === decision.instanceId) as number;
        const y = node(i);
        if (decision.how === "ask") {
          y.stoppedAtRvn = basis.rvn;
          y.acknowledging = false;
          y.underWay = [];
        } else if (has("refuse")) {
          y.refused = true;
          y.underWay = [];
        }
        const views = replicas.map((each) => viewOf(each, patient));
        if (!has("shrink-wait") || enoughHold(decision.ackers, basis.wait_count, logNow(), views, gtid)) {
          write(basis, { ackers: [...decision.ackers] });
        }
        return;
      }
      default:
        return;
    }
  };

  const agent = (i: number, y: Node): void => {
    const self = { instance_id: nameOf(i), incarnation: incarnationOf(y) };
    const read = has("listed-only") ? y.record : { ...y.record, ackers: [self] };
    const decision = decideAgent({
      me: nameOf(i),
      record: read,
      mysql: {
        up: y.up,
        seen_ms_ago: 0,
        read_only: true,
        super_read_only: true,
        incarnation: incarnationOf(y),
        replication: {
          source_host: y.movedOn ? "127.0.12.4" : "127.0.11.4",
          receiver: streaming(y) ? "yes" : y.receiverOn ? "connecting" : "no",
          applier: "yes",
          auto_position: true,
          received_gtid_set: upTo(y.log),
        },
        semi_sync: { source_enabled: false, replica_enabled: y.acknowledging, wait_count: 1, clients: 0 },
      },
      dataFormation: read.formation,
      joined: true,
      stoppedAtRvn: has("told-to-stop") ? y.stoppedAtRvn : undefined,
      highestFence: has("freeze-stays") ? Math.max(y.seenFence, y.record.fence) : y.record.fence,
      heldByOperation: false,
    });
    switch (decision.act) {
      case "acknowledge":
        y.acknowledging = decision.on;
        return;
      case "start-replication":
        y.receiverOn = true;
        return;
      case "follow":
        y.movedOn = true;
        return;
      default:
        return;
    }
  };

  const attempt = (c: number): void => {
    const candidate = node(c);
    if (!candidate.up || attempts.has(c)) return;
    const begins = decideFailover({
      me: nameOf(c),
      record: recorded,
      lease: { state: primaryUp ? "stale" : "free", item: undefined },
      usable: true,
      leaving: false,
      streamAlive: streaming(candidate),
    });
    if (!begins.attempt) return;
    lock += 1;
    attempts.set(c, { fence: lock, record: recorded, frozen: [] });
  };

  const freeze = (c: number, i: number, y: Node): void => {
    const mine = attempts.get(c);
    if (!mine || !node(c).up || !y.up || y.seenFence > mine.fence) return;
    if (mine.frozen.some(({ instanceId }) => instanceId === nameOf(i))) return;
    y.seenFence = mine.fence;
    const verdict = mayFreeze({
      me: nameOf(i),
      record: recorded,
      primary: mine.record.instance_id,
      fence: mine.fence,
      streamAlive: streaming(y),
      letGo: !primaryUp,
      forced: false,
    });
    if (!verdict.ok) return;
    y.receiverOn = false;
    mine.frozen.push({
      instanceId: nameOf(i),
      serverUuid: uuid1,
      incarnation: incarnationOf(y),
      holds: upTo(y.log),
    });
  };

  const promote = (c: number): void => {
    const mine = attempts.get(c);
    if (!mine || !node(c).up) return;
    const { ackers } = mine.record;
    const basis = has("quorum") ? mine.record : { ...mine.record, wait_count: ackers.length };
    const frozen = has("incarnation")
      ? mine.frozen
      : mine.frozen.map((each) => ({
          ...each,
          incarnation: ackers.find((a) => a.instance_id === each.instanceId)?.incarnation,
        }));
    const decision = decidePromotion({ record: basis, frozen, refused: [], preferred: nameOf(c) }, gtid);
    if (!decision.promote) return;
    const by = replicas.find((i) => nameOf(i) === decision.promote?.instanceId) as number;
    // It applies until it has executed the union.
    if (!node(by).up || !gtid.contains(upTo(node(by).log), decision.union)) return;
    attempts.delete(c);
    if (!write(mine.record, { instance_id: nameOf(by), private_ip: "127.0.12.4", fence: mine.fence, ackers: [] }))
      return;
    promoted ??= { by, union: decision.union };
  };

  const step = (what: WorldStep): void => {
    switch (what.do) {
      case "write":
        if (primaryUp && written < mostWrites) {
          written += 1;
          acks.push(new Set());
        }
        return;
      case "crash": {
        faults += 1;
        if (what.node === 0) {
          primaryUp = false;
          return;
        }
        const y = node(what.node);
        if (!y.up) return;
        if (what.loses) y.log = y.durable;
        Object.assign(y, { up: false, receiverOn: false, acknowledging: false, durable: Math.min(y.durable, y.log) });
        attempts.delete(what.node);
        return;
      }
      case "lead":
        lead(what.patient);
        return;
      case "new-fence":
        if (isFirstPrimary() && lock > recorded.fence) {
          lock += 1;
          write(recorded, { fence: lock });
        }
        return;
      case "attempt":
        attempt(what.c);
        return;
      case "promote":
        promote(what.c);
        return;
      case "give-up":
        attempts.delete(what.c);
        return;
      default:
        break;
    }
    const y = replica(what.y);
    if (!y) return;
    switch (what.do) {
      case "receive":
        if (!streaming(y) || y.log >= written) return;
        y.log += 1;
        if (y.acknowledging) y.underWay.push(y.log);
        return;
      case "apply":
        if (y.up) y.durable = y.log;
        return;
      case "deliver": {
        if (!linked(y)) return;
        const last = y.underWay.shift() ?? 0;
        for (let k = 0; k < last; k += 1) acks[k]?.add(what.y);
        return;
      }
      case "restart":
        if (!y.up) Object.assign(y, { up: true, incarnation: y.incarnation + 1, stoppedAtRvn: undefined });
        return;
      case "cut":
        y.cut = true;
        faults += 1;
        return;
      case "heal":
        y.cut = false;
        return;
      case "read":
        y.record = recorded;
        return;
      case "agent":
        agent(what.y, y);
        return;
      case "freeze":
        freeze(what.c, what.y, y);
        return;
    }
  };

  /** The steps that are possible now and may change something, as often as they are to be likely. */
  const choices = (): WorldStep[] => {
    const all: WorldStep[] = [];
    const add = (often: number, possible: boolean, what: WorldStep): void => {
      for (let i = 0; possible && i < often; i += 1) all.push(what);
    };
    const mayFail = faults < mostFaults;
    add(2, primaryUp && written < mostWrites, { do: "write" });
    add(1, primaryUp && mayFail && written > 0, { do: "crash", node: 0, loses: false });
    add(2, isFirstPrimary(), { do: "lead", patient: true });
    add(2, isFirstPrimary() && replicas.some((i) => !streaming(node(i))), { do: "lead", patient: false });
    add(1, isFirstPrimary() && lock > recorded.fence, { do: "new-fence" });
    for (const i of replicas) {
      const y = node(i);
      add(4, streaming(y) && y.log < written, { do: "receive", y: i });
      add(1, y.up && y.durable < y.log, { do: "apply", y: i });
      add(4, linked(y) && y.underWay.length > 0, { do: "deliver", y: i });
      add(1, mayFail && y.up, { do: "crash", node: i, loses: true });
      add(2, !y.up, { do: "restart", y: i });
      add(1, mayFail && !y.cut, { do: "cut", y: i });
      add(1, y.cut, { do: "heal", y: i });
      add(2, y.up && y.record.rvn !== recorded.rvn, { do: "read", y: i });
      add(2, y.up, { do: "agent", y: i });
      const mine = attempts.get(i);
      add(2, y.up && !mine && (!primaryUp || y.cut || !y.receiverOn), { do: "attempt", c: i });
      if (!mine) continue;
      for (const other of replicas) {
        const isFrozen = mine.frozen.some(({ instanceId }) => instanceId === nameOf(other));
        add(3, !isFrozen && node(other).up && node(other).seenFence <= mine.fence, { do: "freeze", c: i, y: other });
      }
      add(3, mine.frozen.length > 0, { do: "promote", c: i });
      add(1, true, { do: "give-up", c: i });
    }
    return all;
  };

  return {
    step,
    choices,
    /** How many writes the first primary has reported as committed. */
    acknowledged,
    /** Who was promoted first, and what it had to have executed. */
    promoted: () => promoted,
    /** Whether a write that was reported as committed is not with the promoted node. */
    hasLost: (): boolean => promoted !== undefined && !gtid.contains(promoted.union, upTo(acknowledged())),
  };
};

/** `freeze 2 1` as a step: verb, node, and where there is one the other node. */
export const stepOf = (text: string): WorldStep => {
  const [verb = "", first = "", second = ""] = text.split(" ");
  const [a, b] = [Number(first), Number(second)];
  switch (verb) {
    case "write":
    case "new-fence":
      return { do: verb };
    case "receive":
    case "apply":
    case "deliver":
    case "restart":
    case "cut":
    case "heal":
    case "read":
    case "agent":
      return { do: verb, y: a };
    case "crash":
      return { do: verb, node: a, loses: second === "loses" };
    case "lead":
      return { do: verb, patient: first !== "impatient" };
    case "attempt":
    case "promote":
    case "give-up":
      return { do: verb, c: a };
    case "freeze":
      return { do: verb, c: a, y: b };
    default:
      throw new Error(`no step: ${text}`);
  }
};
