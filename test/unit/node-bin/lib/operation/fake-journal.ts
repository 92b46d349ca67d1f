import { type OperationPlan, type OperationRecord, plannedContent } from "#contract/operation.ts";
import { type Journal, makeJournal, type OperationContent } from "#node/lib/coordination/journal.ts";
import { memoryBucket } from "../backup/memory-bucket.ts";
import { type Fate, fakeStore, prompt } from "../coordination/fake-table.ts";

/** A plan as approved. */
export const plan = (change: Partial<OperationPlan> = {}): OperationPlan => ({
  schema: 1,
  cluster_id: "c1",
  kind: "switchover",
  hash: "a".repeat(64),
  changes: true,
  node: "i-00000000000000002",
  decided: { primary: "i-00000000000000001", candidate: "i-00000000000000002" },
  observed: [],
  refusals: [],
  warnings: [],
  steps: [
    { name: "drain", description: "drain" },
    { name: "record", description: "record" },
    { name: "open", description: "open" },
  ],
  ...change,
});

/** An operation as an action creates it. */
export const content = (change: Partial<OperationContent> = {}): OperationContent => ({
  operation_id: "op-1",
  cluster_id: "c1",
  kind: "switchover",
  input: {},
  ...plannedContent(plan()),
  started_by: "a test",
  created_at: "2026-11-21T00:00:00.000Z",
  attempt: 1,
  ...change,
});

/** The real journal over a table and a bucket in memory; `fates` decides what becomes of the table's next calls. */
export const fakeJournal = () => {
  const store = fakeStore();
  const bucket = memoryBucket();
  const fates: { next: Fate[]; now: Fate } = { next: [], now: prompt };
  let uuids = 0;
  const journalOf = (fate?: () => Fate): Journal =>
    makeJournal({
      table: store.connect(fate),
      bucket,
      clusterId: "c1",
      uuid: () => `rvn-${++uuids}`,
      now: () => new Date("2026-11-21T00:00:00.000Z"),
    });
  const journal = journalOf(() => fates.next.shift() ?? fates.now);
  return {
    store,
    bucket,
    fates,
    journal,
    /** The same records as another process sees them, whose calls always succeed. */
    others: journalOf(),
    created: async (change: Partial<OperationContent> = {}): Promise<OperationRecord> => {
      const result = await journal.create(content(change));
      if (!result.written) throw new Error("not created");
      return result.record;
    },
  };
};
