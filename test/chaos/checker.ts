import type { Reign, Row, Violation, Write } from "./history.ts";

/** How many violations of one kind are told one by one. */
const told = 5;

const key = (writer: number, sequence: number): string => `${writer}:${sequence}`;

const several = (kind: Violation["kind"], what: string, found: readonly string[]): Violation[] =>
  found.length === 0
    ? []
    : [
        {
          kind,
          message: `${found.length} ${what}: ${found.slice(0, told).join(", ")}${found.length > told ? ", …" : ""}`,
        },
      ];

/** Rows as a set, to be asked about. */
export const rowSet = (rows: Iterable<Row>): ReadonlySet<string> => {
  const set = new Set<string>();
  for (const { writer, sequence } of rows) set.add(key(writer, sequence));
  return set;
};

/** Acknowledged writes that a node does not have. */
export const findLost = (node: string, rows: ReadonlySet<string>, writes: Iterable<Write>): Violation[] => {
  const lost: string[] = [];
  for (const write of writes) {
    if (write.outcome !== "acknowledged" || rows.has(key(write.writer, write.sequence))) continue;
    lost.push(
      `${key(write.writer, write.sequence)} acknowledged by ${write.server} at ${Math.round(write.answeredAt)} ms`,
    );
  }
  return several("lost", `acknowledged writes are not on ${node}`, lost);
};

/**
 * Rows of a node that nobody sent, or whose writers were told that they failed. `sent`: how many writes each writer has sent;
 * they are numbered from 1. `writes`: those that have ended.
 */
export const findPhantoms = (
  node: string,
  rows: Iterable<Row>,
  sent: ReadonlyMap<number, number>,
  writes: Iterable<Write>,
): Violation[] => {
  const refused = new Set<string>();
  for (const write of writes) if (write.outcome === "refused") refused.add(key(write.writer, write.sequence));
  const neverSent: string[] = [];
  const failed: string[] = [];
  for (const { writer, sequence } of rows) {
    if (sequence < 1 || sequence > (sent.get(writer) ?? 0)) neverSent.push(key(writer, sequence));
    else if (refused.has(key(writer, sequence))) failed.push(key(writer, sequence));
  }
  return [
    ...several("phantom", `rows on ${node} were never sent`, neverSent),
    ...several("phantom", `rows on ${node} belong to writes that were refused`, failed),
  ];
};

/** Rows that one node has and another has not. */
export const findDivergence = (nodes: ReadonlyMap<string, ReadonlySet<string>>): Violation[] => {
  const [first, ...others] = [...nodes];
  if (first === undefined) return [];
  const [name, rows] = first;
  return others.flatMap(([other, theirs]) => [
    ...several(
      "diverged",
      `rows are on ${name} and not on ${other}`,
      [...rows].filter((row) => !theirs.has(row)),
    ),
    ...several(
      "diverged",
      `rows are on ${other} and not on ${name}`,
      [...theirs].filter((row) => !rows.has(row)),
    ),
  ]);
};

/**
 * Servers that acknowledged writes at one time under different fences. A write that was sent after another had been
 * acknowledged must not belong to an earlier reign than that one; each is given the earliest reign of its server that the
 * writes before it and the record's history allow, and there is a violation where there is none. Reigns are in the order of
 * their fences.
 */
export const findTwoWriters = (reigns: readonly Reign[], writes: Iterable<Write>): Violation[] => {
  const acknowledged = [...writes].filter(({ outcome }) => outcome === "acknowledged");
  const bySent = acknowledged.toSorted((one, other) => one.sentAt - other.sentAt);
  const byAnswered = acknowledged.toSorted((one, other) => one.answeredAt - other.answeredAt);
  const reignOf = new Map<Write, number>();
  let answered = 0;
  let least = 0;
  let because: Write | undefined;
  const found: string[] = [];
  for (const write of bySent) {
    for (; ; answered += 1) {
      const before = byAnswered[answered];
      if (before === undefined || before.answeredAt >= write.sentAt) break;
      const reign = reignOf.get(before) ?? 0;
      if (reign > least) {
        least = reign;
        because = before;
      }
    }
    const reign = reigns.findIndex(
      ({ server, notBefore }, at) => at >= least && server === write.server && notBefore <= write.answeredAt,
    );
    if (reign >= 0) {
      reignOf.set(write, reign);
      continue;
    }
    const under = reigns[least];
    found.push(
      `${write.server} acknowledged ${key(write.writer, write.sequence)}, sent at ${write.sentAt.toFixed(1)} ms and answered at ${write.answeredAt.toFixed(1)} ms, ${
        because === undefined
          ? `when ${under?.server ?? "nobody"} was the recorded primary`
          : `after ${because.server} had acknowledged ${key(because.writer, because.sequence)} at ${because.answeredAt.toFixed(1)} ms under fence ${under?.fence}`
      }`,
    );
  }
  return several(
    "two-writers",
    "writes were acknowledged by a server that was not the primary any more, or not yet",
    found,
  );
};

/** The longest time without an acknowledged write between two moments, milliseconds. `times` are ascending. */
export const longestGap = (times: readonly number[], from: number, to: number): number => {
  let low = 0;
  for (let high = times.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if ((times[middle] as number) < from) low = middle + 1;
    else high = middle;
  }
  let last = from;
  let gap = 0;
  for (let at = low; at < times.length && (times[at] as number) <= to; at += 1) {
    const time = times[at] as number;
    gap = Math.max(gap, time - last);
    last = time;
  }
  return Math.max(gap, to - last);
};
