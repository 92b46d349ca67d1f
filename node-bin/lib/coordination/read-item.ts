import * as v from "valibot";
import { Failure } from "#contract/failure-reasons.ts";
import type { Item } from "../aws/table.ts";

/** Checks an item of the table against its contract. Error: `record-malformed`, which says where. */
export const checkItem = <T>(schema: v.GenericSchema<unknown, T>, item: Item, what: string): T => {
  const parsed = v.safeParse(schema, item);
  if (parsed.success) return parsed.output;
  const problems = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? "item"}: ${issue.message}`);
  throw new Failure("record-malformed", { message: `The ${what} is malformed: ${problems.join("; ")}.` });
};

/** The same for an item that need not exist. */
export const readItem = <T>(
  schema: v.GenericSchema<unknown, T>,
  item: Item | undefined,
  what: string,
): T | undefined => (item === undefined ? undefined : checkItem(schema, item, what));
