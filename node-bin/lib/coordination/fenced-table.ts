import { Failure } from "#contract/failure-reasons.ts";
import type { Condition, Table, WriteResult } from "../aws/table.ts";
import type { Grant } from "./grant.ts";

/** Writes to items that carry the fence under which they were written in their attribute `fence`. */
export type FencedTable = Pick<Table, "get" | "put" | "update">;

/**
 * The table as the holder of a grant may write to it: each write asks first whether the grant is held, puts its fence into
 * the item, and is refused by the store once the item carries a higher fence. So a holder that was stopped past its lease
 * cannot overwrite what its successor wrote. Error besides those of the table: `lock-lost`, also when the store refused for
 * the fence; any other condition that fails is the usual answer.
 */
export const fencedTable = (table: Table, grant: Pick<Grant, "fence" | "assertHeld">): FencedTable => {
  const notAbove: Condition = { any: [{ absent: "fence" }, { atMost: ["fence", grant.fence] }] };
  const guarded = (condition: Condition | undefined): Condition =>
    condition === undefined ? notAbove : { all: [notAbove, condition] };
  const checked = (pk: string, result: WriteResult): WriteResult => {
    const fence = result.written ? undefined : result.current?.fence;
    if (typeof fence !== "number" || fence <= grant.fence) return result;
    throw new Failure("lock-lost", {
      message: `The item ${pk} was written under fence ${fence}, which is above this holder's ${grant.fence}.`,
    });
  };
  return {
    get: (pk) => table.get(pk),
    put: async (item, options = {}) => {
      grant.assertHeld();
      const fenced = { ...item, fence: grant.fence };
      return checked(String(item.pk), await table.put(fenced, { ...options, condition: guarded(options.condition) }));
    },
    update: async (pk, change, options = {}) => {
      grant.assertHeld();
      const fenced = { ...change, set: { ...change.set, fence: grant.fence } };
      return checked(pk, await table.update(pk, fenced, { ...options, condition: guarded(options.condition) }));
    },
  };
};
