import { afterEach, describe, expect, it } from "vitest";
import type { Lab } from "#lab/lab.ts";
import { expectAnotherPrimary, expectReplicaInTheEnd, says, untilFormed } from "./forming-fixture.ts";
import { endLab, startTestLab } from "./lab-fixture.ts";

let lab: Lab | undefined;
afterEach(async (context) => {
  await endLab(lab, context);
  lab = undefined;
});

describe("the winner of the election loses its power", () => {
  it("after its first backup: the backup is restored, and the formation goes on in a new timeline", async () => {
    lab = await startTestLab();
    const nodes = await lab.nodes();
    const winner = await untilFormed(lab);
    // The others cannot read the backup yet, so that nobody acknowledges and the winner cannot serve.
    const readable = nodes
      .filter((node) => node.instanceId !== winner.instanceId)
      .map((node) =>
        lab?.faults.add({
          match: { principal: node.instanceId, service: "s3", operation: "GetObject" },
          effect: { kind: "throttle" },
        }),
      );
    const before = await lab.topology();
    await lab.waitUntil(
      "the winner's backup is durable",
      () => says(lab as Lab, winner.name, "the first full backup, "),
      60_000,
    );
    await lab.machine(winner.name).kill();
    for (const allow of readable) allow?.();
    expect((await expectAnotherPrimary(lab, winner)).formation).toBe(before?.formation);
    await lab.machine(winner.name).start();
    await expectReplicaInTheEnd(lab, winner);
  });
});
