import { afterEach, describe, expect, it } from "vitest";
import { units } from "#contract/names.ts";
import type { Lab } from "#lab/lab.ts";
import { expectAnotherPrimary, expectReplicaInTheEnd, says, untilFormed } from "./forming-fixture.ts";
import { endLab, startTestLab } from "./lab-fixture.ts";

let lab: Lab | undefined;
afterEach(async (context) => {
  await endLab(lab, context);
  lab = undefined;
});

describe("the winner of the election loses its power", () => {
  it("before its first backup: another forms the cluster anew, and the winner's data are set aside when it returns", async () => {
    lab = await startTestLab();
    // Nobody can send a backup until this is taken away.
    const allow = lab.faults.add({
      match: { service: "s3", operation: "CreateMultipartUpload" },
      effect: { kind: "deny" },
    });
    const winner = await untilFormed(lab);
    const before = await lab.topology();
    await lab.machine(winner.name).kill();
    allow();
    expect((await expectAnotherPrimary(lab, winner)).formation).toBeGreaterThan(before?.formation ?? 0);
    await lab.machine(winner.name).start();
    await lab.waitUntil(
      "the old winner sets its data aside",
      () => says(lab as Lab, winner.name, "setting the data directory aside"),
      60_000,
    );
    await expectReplicaInTheEnd(lab, winner);
  });

  it("during its first backup: the unfinished backup is nobody's, and another forms the cluster anew", async () => {
    lab = await startTestLab();
    const quick = lab.faults.add({
      match: { service: "s3", operation: "CompleteMultipartUpload" },
      effect: { kind: "black-hole" },
    });
    const winner = await untilFormed(lab);
    await lab.waitUntil(
      "the winner is sending its backup",
      () => says(lab as Lab, winner.name, "opened the copy"),
      60_000,
    );
    await lab.machine(winner.name).kill();
    quick();
    await expectAnotherPrimary(lab, winner);
    await lab.machine(winner.name).start();
    await expectReplicaInTheEnd(lab, winner);
  });
});

describe("the winner of the election loses its power when the others have joined", () => {
  it("one of them takes over with the data that it has", async () => {
    lab = await startTestLab();
    const winner = await untilFormed(lab);
    await lab.waitUntil(
      "the winner lets the others replicate",
      async () =>
        (await lab?.logs(winner.name))?.[units.agent]?.includes("created replication accounts") || "no accounts yet",
      60_000,
    );
    // It cannot record anything more: no acker, and not that it serves.
    lab.faults.add({
      match: { principal: winner.instanceId, service: "dynamodb", operation: "PutItem" },
      effect: { kind: "throttle" },
    });
    const before = await lab.topology();
    for (const node of (await lab.nodes()).filter((each) => each.instanceId !== winner.instanceId)) {
      await lab.waitUntil(`${node.name} has caught up`, () => says(lab as Lab, node.name, "caught up with"), 60_000);
    }
    await lab.machine(winner.name).kill();
    lab.faults.clear();
    expect((await expectAnotherPrimary(lab, winner)).formation).toBe(before?.formation);
    await lab.machine(winner.name).start();
    await expectReplicaInTheEnd(lab, winner);
  });
});

describe("a stopped winner", () => {
  it("goes on after another has formed the cluster: it is never writable beside it, and becomes a replica", async () => {
    lab = await startTestLab();
    const allow = lab.faults.add({
      match: { service: "s3", operation: "CreateMultipartUpload" },
      effect: { kind: "deny" },
    });
    const winner = await untilFormed(lab);
    await lab.machine(winner.name).stop();
    allow();
    await expectAnotherPrimary(lab, winner);
    await lab.machine(winner.name).cont();
    await lab.waitUntil(
      "the old winner sets its data aside",
      () => says(lab as Lab, winner.name, "setting the data directory aside"),
      60_000,
    );
    await expectReplicaInTheEnd(lab, winner);
  });
});
