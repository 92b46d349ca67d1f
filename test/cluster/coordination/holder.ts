/**
 * A node in a process of its own, for tests that stop it. It takes the election lease, records itself as primary under the
 * fence, says so in one line, and goes on renewing. At each line on its standard input it tries every write that the lease
 * protects and prints what became of each.
 *
 * Arguments: table name, number of the node, and the clock: `real`, or `stops-too`, which does not go on while the process
 * is stopped, like the monotonic clock of a virtual machine that is paused.
 */
import { createInterface } from "node:readline";
import { itemKey } from "#contract/table.ts";
import { fencedTable } from "#node/lib/coordination/fenced-table.ts";
import { clusterId, makeNode, recordOf } from "./node.ts";

const [tableName = "", number = "1", clock = "real"] = process.argv.slice(2);
const node = makeNode(Number(number), tableName);

const tickMs = 10;
let ticks = 0;
const ticking = setInterval(() => {
  ticks += 1;
}, tickMs);

const lease = node.lease(clock === "real" ? {} : { now: () => ticks * tickMs });

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

const outcome = async (write: () => Promise<unknown>): Promise<string> => {
  try {
    return JSON.stringify(await write());
  } catch (error) {
    return (error as { reason?: string }).reason ?? String(error);
  }
};

const grant = await lease.acquire({ deadlineMs: 10_000 });
const content = recordOf(Number(number), grant.fence);
const written = await node.topology.create(content);
if (written.outcome !== "written") throw new Error("the record exists");
const fenced = fencedTable(node.table, grant);
const position = itemKey.binlogPosition(clusterId);
await fenced.put({ pk: position, sequence: 1 });
// A stopped process must not find its loss by its own renewals before it is asked.
if (clock === "real") grant.startRenewing();
say({ fence: grant.fence, rvn: written.record.rvn });

for await (const _ of createInterface({ input: process.stdin })) {
  const believes = grant.held();
  const readAgain = await node.topology.read();
  say({
    believes,
    assertHeld: await outcome(async () => grant.assertHeld()),
    recordAsRead: await outcome(
      async () =>
        (await node.topology.write(content, { readRvn: written.record.rvn, needsHigherFence: false })).outcome,
    ),
    recordReadAgain: await outcome(
      async () =>
        (await node.topology.write(content, { readRvn: readAgain?.rvn ?? "", needsHigherFence: true })).outcome,
    ),
    fencedPut: await outcome(() => fenced.put({ pk: position, sequence: 2 })),
    fencedUpdate: await outcome(() => fenced.update(position, { set: { sequence: 2 } })),
    renew: await outcome(() => grant.renewNow()),
    release: await outcome(() => grant.release("after the stop")),
  });
  break;
}
clearInterval(ticking);
node.aws.close();
