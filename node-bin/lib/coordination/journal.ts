import { OperationRecord } from "#contract/operation.ts";
import { s3Keys } from "#contract/s3-layout.ts";
import { itemKey } from "#contract/table.ts";
import type { Bucket } from "../aws/s3.ts";
import type { Table } from "../aws/table.ts";
import { checkItem, readItem } from "./read-item.ts";

/** What a caller says of the next record; key, version and, at the end, the time it may be forgotten are added. */
export type OperationContent = Omit<OperationRecord, "pk" | "rvn" | "expires_at">;

/** How a write of an operation's record ended. */
export type JournalWrite =
  | { readonly written: true; readonly record: OperationRecord }
  /** Another wrote it meanwhile, or it is there already. */
  | { readonly written: false; readonly current: OperationRecord | undefined };

/**
 * Records of operations. Every write but the first is conditional on the version that it replaces. Errors of all methods: those
 * of the table and the bucket, and `record-malformed`.
 */
export interface Journal {
  read(operationId: string): Promise<OperationRecord | undefined>;
  /** Creates the record, unless there is one. */
  create(content: OperationContent): Promise<JournalWrite>;
  /** Replaces the record that was read. */
  replace(read: OperationRecord, changes: Partial<OperationContent>): Promise<JournalWrite>;
  /** Writes the ended operation to S3, which keeps it for ever; one that is there already stays as it is. */
  keep(record: OperationRecord): Promise<void>;
}

/** How long an ended operation stays in the table, seconds. */
const rememberSeconds = 90 * 86_400;

/** The journal of one cluster. `now` is the wall clock, for people and for the table's TTL. */
export const makeJournal = ({
  table,
  bucket,
  clusterId,
  uuid,
  now,
}: {
  readonly table: Table;
  readonly bucket: Pick<Bucket, "putOnce">;
  readonly clusterId: string;
  readonly uuid: () => string;
  readonly now: () => Date;
}): Journal => {
  const keyOf = (operationId: string): string => itemKey.operation(clusterId, operationId);
  const named = (operationId: string): string => `operation record ${keyOf(operationId)}`;
  const made = (content: OperationContent): OperationRecord => {
    const ended = content.state !== "created" && content.state !== "running";
    return checkItem(
      OperationRecord,
      {
        ...content,
        pk: keyOf(content.operation_id),
        rvn: uuid(),
        ...(ended ? { expires_at: Math.floor(now().getTime() / 1000) + rememberSeconds } : {}),
      },
      named(content.operation_id),
    );
  };
  const put = async (record: OperationRecord, condition: Parameters<Table["put"]>[1]): Promise<JournalWrite> => {
    const result = await table.put(record, { ...condition, own: (item) => item.rvn === record.rvn });
    return result.written
      ? { written: true, record }
      : { written: false, current: readItem(OperationRecord, result.current, named(record.operation_id)) };
  };
  return {
    read: async (operationId) => readItem(OperationRecord, await table.get(keyOf(operationId)), named(operationId)),
    create: async (content) => put(made(content), { condition: { absent: "pk" } }),
    replace: async (read, changes) => {
      const { pk: _pk, rvn: _rvn, expires_at: _expires, ...content } = read;
      return put(made({ ...content, ...changes }), { condition: { equals: ["rvn", read.rvn] } });
    },
    keep: async (record) => {
      const { attempt } = record;
      const id = attempt === 1 ? record.operation_id : `${record.operation_id}.attempt-${attempt}`;
      await bucket.putOnce(s3Keys.operation(clusterId, id), `${JSON.stringify(record, undefined, 2)}\n`);
    },
  };
};
