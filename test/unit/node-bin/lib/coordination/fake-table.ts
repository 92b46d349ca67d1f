import { Failure } from "#contract/failure-reasons.ts";
import { hashKey } from "#contract/table.ts";
import { holds } from "#node/lib/aws/expressions.ts";
import type { Change, Item, Table, WriteOptions, WriteResult } from "#node/lib/aws/table.ts";

/** What becomes of one call. */
export interface Fate {
  /** Milliseconds until the store does it; undefined when it never gets there. */
  readonly effectAfter: number | undefined;
  /** Milliseconds until the caller has its answer, or its error when `answered` is false. */
  readonly answerAfter: number;
  readonly answered: boolean;
}

/** A call that is done and answered at once. */
export const prompt: Fate = { effectAfter: 0, answerAfter: 0, answered: true };

/** A write whose answer is lost after it took effect. */
export const answerLost: Fate = { effectAfter: 0, answerAfter: 0, answered: false };

/** A call that never reaches the store. */
export const cutOff: Fate = { effectAfter: undefined, answerAfter: 0, answered: false };

/** The items of a fake table. */
export interface FakeStore {
  readonly items: Map<string, Item>;
  /** The table as one process sees it: `fate` is asked before each call. */
  connect(fate?: (call: "get" | "put" | "update") => Fate, wait?: (ms: number) => Promise<void>): Table;
}

const number = (value: unknown): number => (typeof value === "number" ? value : Number.NaN);

const defined = (item: Item): Item =>
  structuredClone(Object.fromEntries(Object.entries(item).filter(([, value]) => value !== undefined)));

const changed = (pk: string, item: Item | undefined, { set = {}, increase = {}, remove = [] }: Change): Item => {
  const next: Record<string, unknown> = { ...item, [hashKey]: pk, ...defined(set) };
  for (const [attribute, { by, from }] of Object.entries(increase)) {
    next[attribute] = (item?.[attribute] === undefined ? from : number(item[attribute])) + by;
  }
  for (const attribute of remove) delete next[attribute];
  return next;
};

/** Tables in memory over one set of items; single calls are atomic, as DynamoDB's are. */
export const fakeStore = (): FakeStore => {
  const items = new Map<string, Item>();
  return {
    items,
    connect: (fate = () => prompt, wait = () => Promise.resolve()) => {
      const call = <T>(kind: "get" | "put" | "update", effect: () => T): Promise<T> => {
        const { effectAfter, answerAfter, answered } = fate(kind);
        let outcome: T | undefined;
        const happens =
          effectAfter === undefined
            ? Promise.resolve()
            : wait(effectAfter).then(() => {
                outcome = effect();
              });
        return wait(answerAfter).then(async () => {
          if (!answered) throw new Failure("store-unavailable", { message: `The fake store did not answer ${kind}.` });
          await happens;
          return outcome as T;
        });
      };
      const get = (pk: string): Promise<Item | undefined> => call("get", () => items.get(pk));
      const write = async (
        kind: "put" | "update",
        pk: string,
        next: (current: Item | undefined) => Item,
        { condition, own }: WriteOptions = {},
      ): Promise<WriteResult> => {
        try {
          const result = await call<WriteResult>(kind, () => {
            const current = items.get(pk);
            if (condition && !holds(condition, current)) return { written: false, current };
            const item = next(current);
            items.set(pk, item);
            return { written: true, item };
          });
          if (result.written || !result.current || !own?.(result.current)) return result;
          return { written: true, item: result.current };
        } catch (error) {
          if (!own) throw error;
          const current = await get(pk).catch(() => {
            throw error;
          });
          if (current && own(current)) return { written: true, item: current };
          if (condition && !holds(condition, current)) return { written: false, current };
          throw error;
        }
      };
      return {
        name: "fake",
        get,
        put: (item, options) => write("put", String(item[hashKey]), () => defined(item), options),
        update: (pk, change, options) => write("update", pk, (current) => changed(pk, current, change), options),
      };
    },
  };
};
