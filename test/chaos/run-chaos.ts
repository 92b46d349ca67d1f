import { setTimeout as delay } from "node:timers/promises";
import type { RowDataPacket } from "mysql2/promise";
import { messageOf } from "#contract/failure-reasons.ts";
import type { LabNode } from "#lab/controls.ts";
import type { Lab } from "#lab/lab.ts";
import { connect } from "#lab/sql.ts";
import { type Backups, removeSetAside, startBackups } from "./backups.ts";
import { findDivergence, findLost, findPhantoms, findTwoWriters, longestGap, rowSet } from "./checker.ts";
import { type Disks, disksMissing } from "./disks.ts";
import { type Done, performRound, roundText, StuckOperation } from "./faults.ts";
import type { Row, Violation, Write } from "./history.ts";
import { type RecordWatch, watchTopology } from "./record-watch.ts";
import { type FaultKind, kindOf, type Round, schedule } from "./schedule.ts";
import { startWriters, type Writers } from "./writers.ts";

/** What a run is asked for. It ends at the first of the limits, or with the first violation. */
export interface ChaosOptions {
  readonly seed: number;
  readonly writers: number;
  /** Writes a second, of all writers together. */
  readonly perSecond: number;
  readonly kinds: readonly FaultKind[];
  /** No round begins later. */
  readonly minutes: number;
  /** Ends when so many writes have been acknowledged and so many rounds done, whichever are given. */
  readonly writes?: number;
  readonly faults?: number;
  readonly disks?: Disks;
  readonly say: (line: string) => void;
}

/** What became of one round. Times are milliseconds on the run's clock. */
export interface RoundResult {
  readonly number: number;
  readonly kind: string;
  readonly text: string;
  readonly beganAt: number;
  readonly healedAt: number;
  readonly healthyAt: number;
  /** The longest time without an acknowledged write, milliseconds. */
  readonly gapMs: number;
  readonly done: readonly Done[];
}

/** Everything that is known of a run. */
export interface ChaosResult {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly rounds: readonly RoundResult[];
  readonly writes: readonly Write[];
  readonly record: Pick<RecordWatch, "reigns" | "versions">;
  readonly failedConnections: number;
  readonly backups: ReturnType<Backups["counts"]>;
  /** What the schedule was made of. */
  readonly kinds: readonly FaultKind[];
  /** What was left out, and why. */
  readonly leftOut: readonly string[];
  readonly seconds: number;
}

/** How long the healed cluster may take to be as it should, milliseconds. */
const healthyMs = 300_000;
/** How long replicas may take to apply what the primary has, milliseconds. */
const catchUpMs = 60_000;

/** Leaves out what cannot be done here, and says so. */
export const possibleKinds = async (
  lab: Pick<Lab, "peerCutsMissing">,
  kinds: readonly FaultKind[],
  hasDisks: boolean,
): Promise<{ readonly kinds: FaultKind[]; readonly leftOut: string[] }> => {
  const noPeers = await lab.peerCutsMissing();
  const noDisks = hasDisks
    ? undefined
    : (disksMissing() ?? "no disk can be full: the lab's nodes have none of their own");
  const why = (kind: FaultKind): string | undefined =>
    kind === "cut-peers" || kind === "cut-both" ? noPeers : kind === "full-disk" ? noDisks : undefined;
  return {
    kinds: kinds.filter((kind) => why(kind) === undefined),
    leftOut: kinds.flatMap((kind) => {
      const reason = why(kind);
      return reason === undefined ? [] : [`LEFT OUT ${kind}: ${reason}`];
    }),
  };
};

/** The recorded primary first, then the others by name. */
const inOrder = async (lab: Lab): Promise<LabNode[]> => {
  const record = await lab.topology();
  const nodes = [...(await lab.nodes())];
  const rank = (node: LabNode): number => (node.instanceId === record?.instance_id ? 0 : 1);
  return nodes.sort(
    (one, other) => rank(one) - rank(other) || one.name.localeCompare(other.name, "en", { numeric: true }),
  );
};

const rowsOf = async (lab: Lab, node: string, table: string, from: ReadonlyMap<number, number>): Promise<Row[]> => {
  const connection = await connect(await lab.login(node));
  try {
    const rows: Row[] = [];
    for (const [writer, after] of from) {
      const [part] = await connection.query<RowDataPacket[]>(
        `SELECT writer, sequence FROM ${table} WHERE writer = ? AND sequence > ?`,
        [writer, after],
      );
      for (const { writer: w, sequence } of part) rows.push({ writer: Number(w), sequence: Number(sequence) });
    }
    return rows;
  } finally {
    connection.destroy();
  }
};

const executed = async (lab: Lab, node: string): Promise<string> => {
  const result = await lab.sql(node, "SELECT @@global.gtid_executed AS executed");
  return "rows" in result ? String(result.rows[0]?.executed).replaceAll("\n", "") : "";
};

/** Waits until a node has applied a GTID set. */
const catchUp = async (lab: Lab, node: string, set: string): Promise<Violation[]> => {
  const result = await lab.sql(node, "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, ?) AS late", [set, catchUpMs / 1000]);
  const late = "rows" in result && String(result.rows[0]?.late) !== "0";
  return late
    ? [
        {
          kind: "diverged",
          message: `${node} did not apply ${set} within ${catchUpMs / 1000} s; it has ${await executed(lab, node)}`,
        },
      ]
    : [];
};

interface Checked {
  readonly lab: Lab;
  readonly table: string;
  readonly writers: Writers;
  readonly watch: RecordWatch;
}

/**
 * Looks at the writes that were made since the last look, on every node. `from`: the first of them; `sequences`: the last
 * sequence number of each writer before.
 */
const checkQuietPoint = async (
  { lab, table, writers, watch }: Checked,
  from: number,
  sequences: ReadonlyMap<number, number>,
): Promise<Violation[]> => {
  const recent = writers.writes.slice(from);
  const [primary, ...replicas] = await inOrder(lab);
  if (primary === undefined) return [];
  const set = await executed(lab, primary.name);
  const violations: Violation[] = [];
  for (const replica of replicas) violations.push(...(await catchUp(lab, replica.name, set)));
  for (const { name } of [primary, ...replicas]) {
    const rows = await rowsOf(lab, name, table, sequences);
    violations.push(...findLost(name, rowSet(rows), recent), ...findPhantoms(name, rows, writers.sent, recent));
  }
  const since = recent[0]?.sentAt ?? 0;
  // Of the earlier reigns only the last one can have gone on.
  const current = watch.reigns.filter((_, at, all) => (all[at + 1]?.notBefore ?? Number.POSITIVE_INFINITY) >= since);
  return [...violations, ...findTwoWriters(current, recent)];
};

/** Waits until every node has executed the same, the writers being at rest. */
const settled = async (lab: Lab, names: readonly string[]): Promise<Violation[]> => {
  let sets: string[] = [];
  try {
    await lab.waitUntil(
      "every node has executed the same",
      async () => {
        sets = await Promise.all(names.map((name) => executed(lab, name)));
        return new Set(sets).size === 1 || { seen: sets };
      },
      catchUpMs,
    );
    return [];
  } catch {
    return [
      {
        kind: "diverged",
        message: `the nodes' GTID sets differ: ${names.map((name, at) => `${name} ${sets[at]}`).join("; ")}`,
      },
    ];
  }
};

/** Looks at everything, the writers being at rest. */
const checkAll = async ({ lab, table, writers, watch }: Checked): Promise<Violation[]> => {
  const names = (await inOrder(lab)).map(({ name }) => name);
  const violations = await settled(lab, names);
  const all = new Map([...writers.sent.keys()].map((writer) => [writer, Number.NEGATIVE_INFINITY]));
  const sets = new Map<string, ReadonlySet<string>>();
  for (const name of names) {
    const rows = await rowsOf(lab, name, table, new Map([...all].map(([writer]) => [writer, -1])));
    const set = rowSet(rows);
    sets.set(name, set);
    violations.push(...findLost(name, set, writers.writes), ...findPhantoms(name, rows, writers.sent, writers.writes));
    const strangers = await lab.sql(name, `SELECT COUNT(*) AS n FROM ${table}`);
    const count = "rows" in strangers ? Number(strangers.rows[0]?.n) : 0;
    if (count !== rows.length) {
      violations.push({
        kind: "phantom",
        message: `${name} has ${count - rows.length} rows of writers that do not exist`,
      });
    }
  }
  return [...violations, ...findDivergence(sets), ...findTwoWriters(watch.reigns, writers.writes)];
};

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

/** For how long a cluster has to be healthy until it is said to be, milliseconds: agents tell what they saw a moment ago. */
const steadyMs = 1500;

/** Waits until the cluster is healthy and stays so, and writes are acknowledged. Resolves with since when. */
const waitSteady = async (lab: Lab, now: () => number, acknowledgedAt: readonly number[]): Promise<number> => {
  const end = now() + healthyMs;
  for (;;) {
    await lab.waitHealthy(Math.max(0, end - now()));
    const since = now();
    let steady = true;
    while (steady && now() - since < steadyMs) {
      await delay(200);
      steady = (await lab.overview()).missing.length === 0;
    }
    if (steady && (acknowledgedAt.at(-1) ?? 0) > since) return since;
    if (now() > end)
      throw new Error(`The cluster looks healthy, but no write has been acknowledged for ${steadyMs} ms.`);
  }
};

/** Carries out one round and waits until the cluster is healthy. */
const playRound = async (
  {
    lab,
    disks,
    now,
    acknowledgedAt,
  }: {
    readonly lab: Lab;
    readonly disks: Disks | undefined;
    readonly now: () => number;
    readonly acknowledgedAt: readonly number[];
  },
  round: Round,
): Promise<{ readonly result: RoundResult; readonly violations: Violation[] }> => {
  const nodes = await inOrder(lab);
  const violations: Violation[] = [];
  const beganAt = now();
  const done = await performRound({ lab, disks, now }, nodes, round).catch((error: unknown): Done[] => {
    if (!(error instanceof StuckOperation)) throw error;
    violations.push({ kind: "stuck-operation", message: error.message });
    return [];
  });
  const healedAt = now();
  const healthyAt = await waitSteady(lab, now, acknowledgedAt).catch((error: unknown) => {
    violations.push({ kind: "not-healthy", message: messageOf(error) });
    return now();
  });
  return {
    violations,
    result: {
      number: round.number,
      kind: kindOf(round),
      text: roundText(nodes, round),
      beganAt,
      healedAt,
      healthyAt,
      gapMs: longestGap(acknowledgedAt, beganAt, healthyAt),
      done,
    },
  };
};

/**
 * Breaks a healthy cluster in all ways of the schedule while clients write, and checks after each round, and at the end, that
 * no acknowledged write is lost and nothing else is wrong.
 */
export const runChaos = async (lab: Lab, options: ChaosOptions): Promise<ChaosResult> => {
  const { seed, say, disks } = options;
  const now = (): number => performance.now();
  const began = now();
  const { kinds, leftOut } = await possibleKinds(lab, options.kinds, disks !== undefined);
  for (const line of leftOut) say(line);
  if (kinds.length === 0) throw new Error("Nothing is left that could be done to the cluster.");
  const table = `app.chaos_${Date.now().toString(36)}`;
  await lab.sql(
    "write",
    `CREATE TABLE ${table} (writer INT NOT NULL, sequence INT NOT NULL, PRIMARY KEY (writer, sequence))`,
  );
  const login = await lab.login("write");
  const watch = watchTopology(lab.topology, now);
  const writers = startWriters({ login, table, writers: options.writers, perSecond: options.perSecond, now });
  const backups = startBackups(lab, say);
  const checked = { lab, table, writers, watch };
  const rounds: RoundResult[] = [];
  const violations: Violation[] = [];
  const acknowledged = (): number => writers.acknowledgedAt.length;
  const isOver = (): boolean => {
    if (violations.length > 0 || now() - began >= options.minutes * 60_000) return true;
    if (options.writes === undefined && options.faults === undefined) return false;
    return acknowledged() >= (options.writes ?? 0) && rounds.length >= (options.faults ?? 0);
  };
  try {
    for (const round of schedule({ seed, nodes: (await lab.nodes()).length, kinds })) {
      const from = writers.writes.length;
      const sequences = new Map(writers.sent);
      // Writes that are under way end after this, and belong to the round too.
      for (let writer = 0; writer < options.writers; writer += 1) {
        sequences.set(writer, Math.max(0, (sequences.get(writer) ?? 0) - 1));
      }
      await delay(round.calmMs);
      if (isOver()) break;
      const played = await playRound({ lab, disks, now, acknowledgedAt: writers.acknowledgedAt }, round);
      rounds.push(played.result);
      violations.push(...played.violations);
      say(roundLine(played.result, began, acknowledged()));
      for (const { what } of played.result.done) if (what.startsWith("switchover ")) say(`      ${what}`);
      if (violations.length === 0) {
        violations.push(...(await checkQuietPoint(checked, from, sequences)));
        await removeSetAside(lab);
      }
    }
    await Promise.all([writers.stop(), backups.stop()]);
    if (violations.length === 0) violations.push(...(await checkAll(checked)));
  } finally {
    await Promise.all([writers.stop(), watch.stop(), backups.stop()]);
  }
  return {
    seed,
    violations,
    rounds,
    writes: writers.writes,
    record: watch,
    failedConnections: writers.failedConnections(),
    backups: backups.counts(),
    kinds,
    leftOut,
    seconds: (now() - began) / 1000,
  };
};

const roundLine = (
  { number, text: what, beganAt, healthyAt, healedAt, gapMs }: RoundResult,
  began: number,
  acknowledged: number,
): string =>
  `#${number} at ${Math.round((beganAt - began) / 1000)} s: ${what}; no write acknowledged for ${seconds(gapMs)}, healthy ${seconds(healthyAt - beganAt)} after it began, ${seconds(healthyAt - healedAt)} after it ended; ${acknowledged} acknowledged so far`;
