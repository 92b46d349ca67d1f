import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { leaseTimings } from "#contract/lease.ts";
import { itemKey } from "#contract/table.ts";
import { fencedTable } from "#node/lib/coordination/fenced-table.ts";
import { environmentFor, useDynamodb } from "./fixture.ts";
import { clusterId, recordOf } from "./node.ts";

const dynamodb = useDynamodb();
const children: ChildProcess[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
});

const startHolder = async (table: string, clock: "real" | "stops-too") => {
  const program = fileURLToPath(new URL("holder.ts", import.meta.url));
  const child = spawn(process.execPath, [program, table, "1", clock], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...environmentFor(dynamodb.server().endpoint) },
  });
  children.push(child);
  const lines: Interface = createInterface({ input: child.stdout });
  const answers = lines[Symbol.asyncIterator]();
  const nextLine = async (): Promise<Record<string, unknown>> => {
    const { done, value } = await answers.next();
    if (done) throw new Error("the holder ended");
    return JSON.parse(value);
  };
  return { child, nextLine, ready: await nextLine() };
};

/** Another node takes the lease over while the holder stands still, and records itself. */
const succeed = async (table: string) => {
  const node = dynamodb.node(2, table);
  const began = performance.now();
  const grant = await node.lease().acquire({ deadlineMs: 20_000 });
  const waitedMs = performance.now() - began;
  grant.startRenewing();
  return { node, grant, waitedMs };
};

describe("a holder that was stopped past its lease is refused at every protected write", () => {
  it("when its clock went on: by itself, without asking the store", async () => {
    const table = await dynamodb.newTable();
    const { child, nextLine, ready } = await startHolder(table, "real");
    child.kill("SIGSTOP");
    const { node, grant, waitedMs } = await succeed(table);
    expect(waitedMs).toBeGreaterThanOrEqual(leaseTimings.short.leaseMs);
    expect(grant.fence).toBe(Number(ready.fence) + 1);
    child.kill("SIGCONT");
    child.stdin?.write("go\n");
    expect(await nextLine()).toMatchObject({
      believes: false,
      assertHeld: "lock-lost",
      fencedPut: "lock-lost",
      fencedUpdate: "lock-lost",
      renew: "lock-lost",
      release: '"lost"',
    });
    expect(grant.held()).toBe(true);
    await grant.release("end of the test");
    expect((await node.table.get(itemKey.binlogPosition(clusterId)))?.sequence).toBe(1);
  });

  it("when its clock stood still with it: by the store, although it believes that it holds the lease", async () => {
    const table = await dynamodb.newTable();
    const { child, nextLine } = await startHolder(table, "stops-too");
    child.kill("SIGSTOP");
    const { node, grant } = await succeed(table);
    const read = await node.topology.read();
    if (!read) throw new Error("no record");
    const taken = await node.topology.write(recordOf(2, grant.fence), { readRvn: read.rvn, needsHigherFence: true });
    expect(taken.outcome).toBe("written");
    const position = itemKey.binlogPosition(clusterId);
    await fencedTable(node.table, grant).update(position, { set: { sequence: 7 } });
    child.kill("SIGCONT");
    child.stdin?.write("go\n");
    expect(await nextLine()).toEqual({
      believes: true,
      assertHeld: undefined,
      recordAsRead: '"superseded"',
      recordReadAgain: '"superseded"',
      fencedPut: "lock-lost",
      fencedUpdate: "lock-lost",
      renew: "lock-lost",
      release: '"lost"',
    });
    expect(await node.topology.read()).toMatchObject({ instance_id: node.instanceId, fence: grant.fence });
    expect(await node.table.get(position)).toMatchObject({ sequence: 7, fence: grant.fence });
    await grant.renewNow();
    expect(await grant.release("end of the test")).toBe("released");
  });
});
