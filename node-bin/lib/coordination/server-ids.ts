import { Failure } from "#contract/failure-reasons.ts";
import { firstServerId, ServerIdsItem } from "#contract/server-ids.ts";
import { itemKey } from "#contract/table.ts";
import type { Table } from "../aws/table.ts";
import { readItem } from "./read-item.ts";

/** More rounds than nodes that a cluster can have: each round that fails means that another node got its id. */
const rounds = 100;

const allocate = async (table: Table, clusterId: string, instanceId: string, mayKeep: boolean): Promise<number> => {
  const pk = itemKey.serverIds(clusterId);
  for (let round = 0; round < rounds; round += 1) {
    const item = readItem(ServerIdsItem, await table.get(pk), `list of server ids ${pk}`);
    const known = item?.ids[instanceId];
    if (known !== undefined && mayKeep) return known;
    const id = item?.next ?? firstServerId;
    // `next` grows with every write, so that it is the version of the item too.
    const result = await table.put(
      { pk, next: id + 1, ids: { ...item?.ids, [instanceId]: id } },
      {
        condition: item ? { equals: ["next", id] } : { absent: "pk" },
        own: (current) => (current as Partial<ServerIdsItem>).ids?.[instanceId] === id,
      },
    );
    if (result.written) return id;
  }
  throw new Failure("store-unavailable", {
    message: `Another caller was faster ${rounds} times in a row at allocating a server id in ${pk}.`,
    changed: "No server id was allocated to this instance.",
  });
};

/**
 * The MySQL server id of an instance: allocated at the first call, the same at every later one, never given to another
 * instance, also not after this one is gone. Safe for many callers at once and after a lost answer; needs no lock.
 * Errors: those of the table, `record-malformed`, `store-unavailable`.
 */
export const allocateServerId = (table: Table, clusterId: string, instanceId: string): Promise<number> =>
  allocate(table, clusterId, instanceId, true);

/**
 * Another server id for an instance whose data are replaced by older ones: a replica skips what carries its own id, and so would never
 * get back what it wrote itself after the backup, as an earlier primary. Errors: as `allocateServerId`.
 */
export const renewServerId = (table: Table, clusterId: string, instanceId: string): Promise<number> =>
  allocate(table, clusterId, instanceId, false);

/** Server ids of all instances that ever were in the cluster, by instance id. Errors: those of the table, `record-malformed`. */
export const allocatedServerIds = async (
  table: Table,
  clusterId: string,
): Promise<Readonly<Record<string, number>>> => {
  const pk = itemKey.serverIds(clusterId);
  return readItem(ServerIdsItem, await table.get(pk), `list of server ids ${pk}`)?.ids ?? {};
};
