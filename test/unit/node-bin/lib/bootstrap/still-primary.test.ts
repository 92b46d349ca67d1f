import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TopologyRecord } from "#contract/topology.ts";
import type { BootstrapContext } from "#node/lib/bootstrap/context.ts";
import { untilNotFrozen } from "#node/lib/bootstrap/still-primary.ts";
import { openHighestFence } from "#node/lib/host/highest-fence.ts";
import { n2, record } from "../cluster/samples.ts";

let folder: string;
let recorded: TopologyRecord | undefined;
let reads: number;
let steps: string[];
/** What becomes of the record at its second read. */
let then: TopologyRecord | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "frozen-"));
  recorded = record({ fence: 5 });
  reads = 0;
  steps = [];
});
afterEach(() => rm(folder, { recursive: true }));

const context = async () => ({
  config: { state_dir: folder } as BootstrapContext["config"],
  highestFence: await openHighestFence(join(folder, "highest-fence.json")),
  primaryWatch: { look: async () => "live" as const },
  signal: new AbortController().signal,
  step: async (what: string) => void steps.push(what),
  topology: {
    read: async () => {
      reads += 1;
      if (reads === 2) recorded = then;
      return recorded;
    },
  } as BootstrapContext["topology"],
});

describe("a node that was frozen", () => {
  it("under no higher fence than the recorded one goes on at once", async () => {
    const given = await context();
    await given.highestFence.raise(5);
    expect((await untilNotFrozen(given, record({ fence: 5 }))).fence).toBe(5);
    expect(reads).toBe(1);
    expect(steps).toEqual([]);
  });

  it("by its agent, after this process began, waits until a fence as high is recorded, however long that takes, and says so once", async () => {
    const given = await context();
    // Another process: the one that this node's agent is.
    await (await openHighestFence(join(folder, "highest-fence.json"))).raise(7);
    then = record({ fence: 7, rvn: "rvn-2" });
    expect((await untilNotFrozen(given, record({ fence: 5 }))).fence).toBe(7);
    expect(reads).toBe(2);
    expect(steps).toEqual(["frozen: this node has seen fence 7, and the record has 5"]);
  });

  it("does not go on with the old primary when another is recorded", async () => {
    const given = await context();
    await given.highestFence.raise(7);
    then = record({ fence: 7, instance_id: n2 });
    await expect(untilNotFrozen(given, record({ fence: 5 }))).rejects.toMatchObject({ reason: "superseded" });
  });
});
