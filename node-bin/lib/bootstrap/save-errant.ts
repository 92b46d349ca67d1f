import * as v from "valibot";
import { ErrantRecord } from "#contract/errant-record.ts";
import { describeFailure, Failure } from "#contract/failure-reasons.ts";
import * as gtid from "#contract/gtid.ts";
import { keyTime, s3Keys } from "#contract/s3-layout.ts";
import type { Bucket } from "../aws/s3.ts";
import type { BinlogText } from "../mysql/errant-sql.ts";

/** Bytes of a part; S3's 10,000 of them are 80 GB of SQL. */
const partSize = 8 * 1024 * 1024;

/** Which transactions are saved, of whom, and where to. */
export interface ErrantRequest
  extends Pick<
    ErrantRecord,
    "cluster_id" | "instance_id" | "private_ip" | "server_uuid" | "gtid_set" | "not_executed" | "primary"
  > {
  readonly bucket: Bucket;
  readonly binlogs: BinlogText;
  /** What the node's binlogs do not have any more. */
  readonly purged: string;
  /** Wall clock; names the objects. */
  readonly now: () => Date;
  readonly signal: AbortSignal;
}

/** Where the saved transactions lie. */
export interface SavedErrant {
  readonly recordKey: string;
  readonly record: ErrantRecord;
}

/** What an earlier attempt of this node has saved: a record of the same server that has all of these transactions. */
const savedBefore = async (request: ErrantRequest, keys: readonly string[]): Promise<SavedErrant | undefined> => {
  for (const key of keys.filter((each) => each.endsWith(".json")).reverse()) {
    const json = await request.bucket.getJson(key).catch((error: unknown) => {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    });
    const found = v.safeParse(ErrantRecord, json);
    if (!found.success || found.output.server_uuid !== request.server_uuid) continue;
    const { gtid_set, not_executed = "" } = found.output;
    if (gtid.contains(gtid_set, request.gtid_set) && gtid.contains(not_executed, request.not_executed ?? ""))
      return { recordKey: key, record: found.output };
  }
  return undefined;
};

/** The first second from now on whose place has nothing of an earlier attempt. */
const freeTime = (request: ErrantRequest, keys: readonly string[]): string => {
  const { cluster_id, instance_id, now } = request;
  const begin = now().getTime();
  for (let seconds = 0; ; seconds += 1) {
    const time = keyTime(new Date(begin + seconds * 1000));
    const places = [
      s3Keys.errantSql(cluster_id, instance_id, time),
      s3Keys.errantRecord(cluster_id, instance_id, time),
    ];
    if (!keys.some((key) => places.includes(key))) return time;
  }
};

const save = async (request: ErrantRequest): Promise<SavedErrant> => {
  const { bucket, binlogs, cluster_id, instance_id, gtid_set, not_executed, purged, now, signal } = request;
  const keys: string[] = [];
  for await (const { key } of bucket.list(s3Keys.errantOf(cluster_id, instance_id))) keys.push(key);
  const before = await savedBefore(request, keys);
  if (before) return before;

  const time = freeTime(request, keys);
  const inBinlogs = gtid.subtract(gtid_set, purged);
  const notInBinlogs = gtid.subtract(gtid_set, inBinlogs);
  let sql: ErrantRecord["sql"];
  if (!gtid.isEmpty(inBinlogs)) {
    const key = s3Keys.errantSql(cluster_id, instance_id, time);
    const text = binlogs.sql(await binlogs.filesWith(inBinlogs), inBinlogs, signal);
    const sent = await bucket.uploadOnce(key, text, { partSize, signal });
    if (sent.result === "exists") throw new Failure("internal", { message: `${key} was written by another just now.` });
    sql = { key, size: sent.size, sha256: sent.sha256 };
  }
  const record: ErrantRecord = {
    schema: 1,
    cluster_id,
    instance_id,
    private_ip: request.private_ip,
    server_uuid: request.server_uuid,
    gtid_set,
    ...(sql && { sql }),
    ...(gtid.isEmpty(notInBinlogs) ? {} : { not_in_binlogs: notInBinlogs }),
    ...(not_executed === undefined ? {} : { not_executed }),
    primary: request.primary,
    saved_at: now().toISOString(),
  };
  const recordKey = s3Keys.errantRecord(cluster_id, instance_id, time);
  if ((await bucket.putOnce(recordKey, `${JSON.stringify(record, undefined, 2)}\n`)) === "exists")
    throw new Failure("internal", { message: `${recordKey} was written by another just now.` });
  return { recordKey, record };
};

/**
 * Saves a node's own transactions as SQL for people, and answers when the copy is durable. What an earlier attempt saved is not saved
 * again. Errors: `errant-transactions` with what stood in the way; nothing of the node was changed then, and trying again is safe.
 */
export const saveErrant = async (request: ErrantRequest): Promise<SavedErrant> => {
  try {
    return await save(request);
  } catch (error) {
    request.signal.throwIfAborted();
    throw new Failure("errant-transactions", {
      message: `This node has ${request.gtid_set}, which the primary ${request.primary.instance_id} does not have, and they could not be saved to the bucket ${request.bucket.name} before the node is restored: ${error instanceof Failure ? `${error.reason}: ${error.message}` : describeFailure(error)}`,
      changed: "The node is out of the target groups; its data were left as they are.",
      next: "Mend what the message names. The node tries again by itself, saves them, and is restored from the newest backup.",
      cause: error,
    });
  }
};
