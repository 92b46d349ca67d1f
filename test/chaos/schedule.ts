import { type Random, seededRandom } from "./prng.ts";

/** What can be done to the cluster, and how often it is chosen in comparison with the others. */
const weights = {
  "kill-mysqld": 4,
  "kill-agent": 2,
  "kill-node": 4,
  "stop-mysqld": 3,
  "stop-agent": 2,
  "stop-node": 3,
  "cut-store": 2,
  "cut-peers": 2,
  "cut-both": 2,
  "throttle-store": 1,
  "delay-store": 1,
  "full-disk": 1,
  switchover: 4,
  /** More than a minority: writes have to wait until one is back. */
  "replicas-killed": 1,
  "replicas-stopped": 1,
} as const;

export type FaultKind = keyof typeof weights;
export const faultKinds = Object.keys(weights) as FaultKind[];

/** One fault. Victims are numbers: 0 is who is the recorded primary when the round begins, 1 and more are the others. */
export interface Fault {
  readonly kind: FaultKind;
  readonly victims: readonly number[];
  /** When it begins, milliseconds after the round. */
  readonly afterMs: number;
  /** How long until it is healed: a process goes on, a node boots, a cut ends. 0 where nothing has to be healed. */
  readonly forMs: number;
  /** How long each call to DynamoDB takes longer, milliseconds. */
  readonly delayMs?: number;
}

/** Faults that belong together; the next round begins when the cluster is healthy again. */
export interface Round {
  readonly number: number;
  /** How long the healthy cluster is left alone before, milliseconds. */
  readonly calmMs: number;
  readonly faults: readonly Fault[];
}

/** What a schedule is made for. */
export interface ScheduleOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly kinds: readonly FaultKind[];
}

const shortestMs = 1000;
const longestMs = 15_000;
/** How often a second fault comes while the first is under way. */
const pairChance = 0.2;

/** Pairs whose first fault makes the second one hard. */
const pairs: Readonly<Partial<Record<FaultKind, readonly FaultKind[]>>> = {
  switchover: ["kill-mysqld", "kill-agent", "kill-node", "stop-mysqld", "stop-agent", "stop-node", "cut-store"],
  "cut-store": ["kill-mysqld", "kill-node", "stop-mysqld"],
  "kill-agent": ["kill-mysqld", "kill-node"],
  "stop-agent": ["kill-mysqld"],
  "throttle-store": ["kill-mysqld", "switchover"],
  "delay-store": ["kill-mysqld", "switchover"],
};

const isOfReplicas = (kind: FaultKind): boolean => kind === "replicas-killed" || kind === "replicas-stopped";
const isOfStore = (kind: FaultKind): boolean =>
  kind === "cut-store" || kind === "throttle-store" || kind === "delay-store";

const weighted = (random: Random, kinds: readonly FaultKind[]): FaultKind =>
  random.pick(kinds.flatMap((kind) => Array.from({ length: weights[kind] }, () => kind)));

/**
 * One fault of this kind. By default it has one victim, more often the primary than not; DynamoDB can be away for everybody,
 * because that is no node that is down.
 */
const faultOf = (random: Random, kind: FaultKind, nodes: number, afterMs: number): Fault => {
  const all = Array.from({ length: nodes }, (_, at) => at);
  const victim = random.chance(0.6) ? 0 : random.between(1, nodes);
  const forMs = random.between(shortestMs, longestMs + 1);
  const forEverybody = random.chance(0.3);
  const delayMs = random.between(100, 2500);
  if (kind === "switchover") return { kind, victims: [], afterMs, forMs: 0 };
  if (isOfReplicas(kind)) return { kind, victims: all.slice(1), afterMs, forMs };
  return {
    kind,
    victims: isOfStore(kind) && forEverybody ? all : [victim],
    afterMs,
    forMs: kind === "kill-mysqld" || kind === "kill-agent" ? 0 : forMs,
    ...(kind === "delay-store" ? { delayMs } : {}),
  };
};

/** The second fault of a pair; on the same node where both take a node away, so that no more than one is down. */
const second = (random: Random, first: Fault, kind: FaultKind, nodes: number): Fault => {
  const fault = faultOf(random, kind, nodes, random.between(0, 1500));
  const victim = first.victims[0];
  return first.victims.length === 1 && victim !== undefined && kind !== "switchover"
    ? { ...fault, victims: [victim] }
    : fault;
};

/**
 * Rounds without end, fixed by the seed, the number of nodes and the kinds. At most one node is down at a time, except where
 * all replicas are. @throws RangeError when there is no kind to choose from.
 */
export function* schedule({ seed, nodes, kinds }: ScheduleOptions): Generator<Round, never> {
  const random = seededRandom(seed);
  for (let number = 1; ; number += 1) {
    const kind = weighted(random, kinds);
    const first = faultOf(random, kind, nodes, 0);
    const seconds = (pairs[kind] ?? []).filter((each) => kinds.includes(each));
    const paired = random.chance(pairChance) && seconds.length > 0;
    yield {
      number,
      calmMs: random.between(200, 1500),
      faults: paired ? [first, second(random, first, random.pick(seconds), nodes)] : [first],
    };
  }
}

/** What a round is called in the report. */
export const kindOf = ({ faults }: Round): string => faults.map(({ kind }) => kind).join(" + ");
