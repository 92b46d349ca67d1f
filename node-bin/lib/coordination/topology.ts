import { itemKey } from "#contract/table.ts";
import { TopologyRecord } from "#contract/topology.ts";
import type { Condition, Item, Table } from "../aws/table.ts";
import { checkItem, readItem } from "./read-item.ts";

/** What a caller says about the next record; the key, the version and the time of the write are added. */
export type TopologyContent = Omit<TopologyRecord, "pk" | "rvn" | "updated_at">;

/** How a write of the record ended. */
export type TopologyWrite =
  | {
      readonly outcome: "written";
      readonly record: TopologyRecord;
    }
  | {
      /** The record is not the one that was read any more, or its fence is not below the new one: this write does not stand. */
      readonly outcome: "superseded";
      /** What is there instead; undefined when there is no record. */
      readonly current: TopologyRecord | undefined;
    };

/** On what a write rests. */
export interface TopologyCondition {
  /** `rvn` of the record that was read before the checks that this write rests on. */
  readonly readRvn: string;
  /** True for a change of primary, a reopening and an undo: the recorded fence must be below the new one. */
  readonly needsHigherFence: boolean;
}

/**
 * The topology record, which is the authority on who is primary. Fences come from grants of the election lock and from
 * nowhere else. Errors of all methods: those of the table, and `record-malformed`. When a write ends with `store-unavailable`
 * it may have taken effect, or still take effect while the record stays as it was read: read again before going on, and
 * write again (even the same) to void it.
 */
export interface Topology {
  /** Undefined before the cluster is formed. */
  read(): Promise<TopologyRecord | undefined>;
  /** The same of an item that was read at once with others. */
  parse(item: unknown): TopologyRecord | undefined;
  /** The key of its item. */
  readonly key: string;
  /** Creates the first record; `superseded` when there is one. */
  create(content: TopologyContent): Promise<TopologyWrite>;
  /** Replaces the record that was read. */
  write(next: TopologyContent, condition: TopologyCondition): Promise<TopologyWrite>;
  /**
   * Writes the record that was read with some changes; `undefined` takes an attribute out. `previous` is for the journal: it
   * is what the write replaced, because the condition would have refused anything else.
   */
  amend(
    read: TopologyRecord,
    changes: { readonly [K in keyof TopologyContent]?: TopologyContent[K] | undefined },
    options: { readonly needsHigherFence: boolean },
  ): Promise<TopologyWrite & { readonly previous: TopologyRecord }>;
}

/** The record of one cluster. `now` is the wall clock, for people. */
export const makeTopology = ({
  table,
  clusterId,
  uuid,
  now,
}: {
  readonly table: Table;
  readonly clusterId: string;
  readonly uuid: () => string;
  readonly now: () => Date;
}): Topology => {
  const pk = itemKey.topology(clusterId);

  const parse = (item: Item | undefined): TopologyRecord | undefined =>
    readItem(TopologyRecord, item, `topology record ${pk}`);

  const put = async (content: Item, condition: Condition): Promise<TopologyWrite> => {
    const rvn = uuid();
    const record = checkItem(
      TopologyRecord,
      { ...content, pk, rvn, updated_at: now().toISOString() },
      `new topology record ${pk}`,
    );
    const result = await table.put(record, { condition, own: (item) => item.rvn === rvn });
    return result.written ? { outcome: "written", record } : { outcome: "superseded", current: parse(result.current) };
  };

  const write: Topology["write"] = (next, { readRvn, needsHigherFence }) => {
    const fence: Condition = needsHigherFence ? { below: ["fence", next.fence] } : { atMost: ["fence", next.fence] };
    return put(next, { all: [{ equals: ["rvn", readRvn] }, fence] });
  };

  return {
    key: pk,
    parse: (item) => parse(item as Item | undefined),
    read: async () => parse(await table.get(pk)),
    create: (content) => put(content, { absent: "pk" }),
    write,
    amend: async (read, changes, { needsHigherFence }) => {
      const next = checkItem(TopologyRecord, { ...read, ...changes }, `new topology record ${pk}`);
      return { ...(await write(next, { readRvn: read.rvn, needsHigherFence })), previous: read };
    },
  };
};
