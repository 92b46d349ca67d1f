/**
 * What a status needs to know about two executed sets that came from two nodes. A server with both sets would be asked; a runner
 * has no server to ask.
 */

interface Interval {
  readonly first: bigint;
  readonly last: bigint;
}

/** Sorted, disjoint intervals by `uuid` or `uuid:tag`, in lower case. */
type Sets = ReadonlyMap<string, readonly Interval[]>;

/**
 * The transactions of `set` that are not in `taken`, in MySQL's notation; empty when `taken` has them all.
 *
 * @throws when a text is not a GTID set.
 */
export function subtractGtids(set: string, taken: string): string {
  const minus = parse(taken);
  const rest = new Map<string, Interval[]>();
  for (const [source, intervals] of parse(set)) {
    const left = intervals.flatMap((interval) => without(interval, minus.get(source) ?? []));
    if (left.length > 0) rest.set(source, left);
  }
  return format(rest);
}

/** The part of a GTID set that other servers than `serverUuid` began. */
export function gtidsOfOthers(set: string, serverUuid: string): string {
  const own = serverUuid.toLowerCase();
  return format(new Map([...parse(set)].filter(([source]) => source.split(":")[0] !== own)));
}

/** How many transactions a GTID set has. */
export function countGtids(set: string): bigint {
  let count = 0n;
  for (const intervals of parse(set).values()) {
    for (const { first, last } of intervals) count += last - first + 1n;
  }
  return count;
}

/** `uuid:1-5:7, uuid:tag:1-3`: a tag holds until the next tag or the next uuid. */
function parse(text: string): Sets {
  const found = new Map<string, Interval[]>();
  for (const part of text.toLowerCase().split(",")) {
    const words = part.trim().split(/\s*:\s*/);
    const uuid = words[0] ?? "";
    if (uuid === "" && words.length === 1) continue;
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) throw notASet(text);
    let source = uuid;
    for (const word of words.slice(1)) {
      const interval = /^(\d{1,19})(?:\s*-\s*(\d{1,19}))?$/.exec(word);
      if (interval) {
        const first = BigInt(interval[1] ?? "");
        const last = BigInt(interval[2] ?? interval[1] ?? "");
        found.set(source, [...(found.get(source) ?? []), { first, last }]);
      } else if (/^[a-z_][a-z0-9_]{0,31}$/.test(word)) source = `${uuid}:${word}`;
      else throw notASet(text);
    }
  }
  return new Map([...found].map(([source, intervals]) => [source, merged(intervals)]));
}

const notASet = (text: string): Error => new Error(`Not a GTID set: "${text.slice(0, 100)}".`);

function merged(intervals: readonly Interval[]): Interval[] {
  const result: Interval[] = [];
  for (const next of intervals.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    const last = result.at(-1);
    if (last !== undefined && next.first <= last.last + 1n) {
      result[result.length - 1] = { first: last.first, last: later(next.last, last.last) };
    } else result.push(next);
  }
  return result;
}

// Math.max takes no bigint.
const later = (a: bigint, b: bigint): bigint => [a, b].reduce((x, y) => (y > x ? y : x));

function without(interval: Interval, taken: readonly Interval[]): Interval[] {
  const left: Interval[] = [];
  let first = interval.first;
  for (const other of taken) {
    if (other.last < first) continue;
    if (other.first > interval.last) break;
    if (other.first > first) left.push({ first, last: other.first - 1n });
    first = other.last + 1n;
  }
  if (first <= interval.last) left.push({ first, last: interval.last });
  return left;
}

const format = (sets: Sets): string =>
  [...sets]
    .map(([source, intervals]) =>
      [source, ...intervals.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`))].join(":"),
    )
    .sort()
    .join(",");
