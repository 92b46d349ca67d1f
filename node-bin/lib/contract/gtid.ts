import { Failure } from "./failure-reasons.ts";

/** First and last transaction number of a run, both included. MySQL's numbers go up to 2^63 - 2, so they are not JavaScript numbers. */
export type GtidInterval = readonly [first: bigint, last: bigint];

/**
 * A GTID set. The key is the server uuid in lower case, with `:tag` for transactions with a tag; the intervals are in order,
 * apart from each other, and never none.
 */
export type GtidSet = ReadonlyMap<string, readonly GtidInterval[]>;

const highest = 2n ** 63n - 2n;

const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const tagPattern = /^[a-z_][a-z0-9_]{0,31}$/;
const intervalPattern = /^(\d+)(?:\s*-\s*(\d+))?$/;

const malformed = (text: string, what: string): Failure =>
  new Failure("internal", {
    message: `"${text.length > 200 ? `${text.slice(0, 200)}…` : text}" is not a GTID set: ${what}.`,
    changed: "Nothing was changed.",
  });

const order = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** Sorts intervals and joins those that touch. */
const joined = (intervals: readonly GtidInterval[]): GtidInterval[] => {
  const result: [bigint, bigint][] = [];
  for (const [first, last] of [...intervals].sort(([a], [b]) => order(a, b))) {
    const previous = result.at(-1);
    if (previous && first <= previous[1] + 1n) {
      if (last > previous[1]) previous[1] = last;
    } else {
      result.push([first, last]);
    }
  }
  return result;
};

const parseInterval = (text: string, part: string): GtidInterval | undefined => {
  const found = intervalPattern.exec(part);
  if (!found) throw malformed(text, `"${part}" is neither a number, nor a run of numbers, nor a tag`);
  const first = BigInt(found[1] ?? "");
  const last = found[2] === undefined ? first : BigInt(found[2]);
  if (first < 1n || first > highest || last > highest) throw malformed(text, `"${part}" is out of range`);
  // MySQL takes a run that ends before it begins for nothing.
  return last < first ? undefined : [first, last];
};

/**
 * Reads a GTID set as MySQL prints it or takes it: on one line or several, with or without tags, in any order, overlapping or not.
 * Errors: `internal`, with the text and what is wrong with it.
 */
export const parse = (text: string): GtidSet => {
  const collected = new Map<string, GtidInterval[]>();
  for (const entry of text.split(",")) {
    if (entry.trim() === "") continue;
    const [uuid = "", ...parts] = entry.split(":").map((part) => part.trim().toLowerCase());
    if (!uuidPattern.test(uuid)) throw malformed(text, `"${uuid}" is not a server uuid`);
    let key = uuid;
    for (const part of parts) {
      if (tagPattern.test(part)) {
        key = `${uuid}:${part}`;
        continue;
      }
      const interval = parseInterval(text, part);
      if (!interval) continue;
      const intervals = collected.get(key);
      if (intervals) intervals.push(interval);
      else collected.set(key, [interval]);
    }
  }
  return new Map([...collected].map(([key, intervals]) => [key, joined(intervals)]));
};

const intervalText = ([first, last]: GtidInterval): string => (first === last ? `${first}` : `${first}-${last}`);

/**
 * Writes a set as MySQL does: lower case, server uuids in order, each with its untagged transactions first and then its tags in order.
 * Unlike MySQL's, the text has no line ends.
 */
export const format = (set: GtidSet): string => {
  let text = "";
  let previousUuid = "";
  for (const key of [...set.keys()].sort()) {
    const [uuid = "", tag] = key.split(":");
    if (uuid !== previousUuid) text += `${text === "" ? "" : ","}${uuid}`;
    previousUuid = uuid;
    const intervals = (set.get(key) ?? []).map(intervalText).join(":");
    text += tag === undefined ? `:${intervals}` : `:${tag}:${intervals}`;
  }
  return text;
};

/** The same set in its one normal form, on one line. */
export const normalise = (set: string): string => format(parse(set));

/** Whether the set has no transaction. */
export const isEmpty = (set: string): boolean => parse(set).size === 0;

/** How many transactions the set has. */
export const count = (set: string): bigint => {
  let total = 0n;
  for (const intervals of parse(set).values()) {
    for (const [first, last] of intervals) total += last - first + 1n;
  }
  return total;
};

/** Every transaction that is in either set. */
export const union = (a: string, b: string): string => {
  const result = new Map(parse(a));
  for (const [key, intervals] of parse(b)) result.set(key, joined([...(result.get(key) ?? []), ...intervals]));
  return format(result);
};

const withoutIntervals = (from: readonly GtidInterval[], take: readonly GtidInterval[]): GtidInterval[] => {
  const left: GtidInterval[] = [];
  let next = 0;
  for (const [first, last] of from) {
    let start = first;
    // Both lists are in order: what ends before this interval begins is of no use to later ones either.
    while (next < take.length && (take[next]?.[1] ?? 0n) < start) next++;
    for (let i = next; i < take.length && start <= last; i++) {
      const [gone, goneLast] = take[i] as GtidInterval;
      if (gone > last) break;
      if (gone > start) left.push([start, gone - 1n]);
      if (goneLast >= start) start = goneLast + 1n;
    }
    if (start <= last) left.push([start, last]);
  }
  return left;
};

const subtractSets = (from: GtidSet, take: GtidSet): GtidSet => {
  const result = new Map<string, readonly GtidInterval[]>();
  for (const [key, intervals] of from) {
    const left = withoutIntervals(intervals, take.get(key) ?? []);
    if (left.length > 0) result.set(key, left);
  }
  return result;
};

/** The transactions of `from` that are not in `take`. */
export const subtract = (from: string, take: string): string => format(subtractSets(parse(from), parse(take)));

/** Whether `set` has every transaction of `part`. */
export const contains = (set: string, part: string): boolean => subtractSets(parse(part), parse(set)).size === 0;

/** Whether both have the same transactions, however they are written. */
export const isSame = (a: string, b: string): boolean => normalise(a) === normalise(b);

/** The part of a set that other servers than `serverUuid` began, with and without tags. */
export const ofOthers = (set: string, serverUuid: string): string => {
  const own = serverUuid.toLowerCase();
  return format(new Map([...parse(set)].filter(([source]) => source.split(":")[0] !== own)));
};
