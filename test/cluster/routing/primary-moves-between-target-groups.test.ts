import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { LabNode } from "#lab/controls.ts";
import { connect } from "#lab/sql.ts";
import { roles, value, writableNodes } from "../lab-fixture.ts";
import { useSituation } from "../situation.ts";
import { beginSwitchover, ended } from "../switchover-fixture.ts";

const here = useSituation({ routing: "registration" });
const elb = "elasticloadbalancing";

/** Names of the nodes that a group has, whatever their health. */
const members = async (group: "writeTarget" | "readTarget"): Promise<string[]> =>
  (await here.lab.overview()).nodes
    .filter((node) => node[group] !== "out" && node[group] !== "draining")
    .map(({ name }) => name)
    .sort();

const groupsAre = (write: readonly LabNode[], read: readonly LabNode[], deadlineMs = 20_000): Promise<void> =>
  here.lab.waitUntil(
    `writes go to ${write.map(({ name }) => name)}, reads to ${read.map(({ name }) => name)}`,
    async () => {
      const seen = { write: await members("writeTarget"), read: await members("readTarget") };
      const wanted = { write: write.map(({ name }) => name).sort(), read: read.map(({ name }) => name).sort() };
      return JSON.stringify(seen) === JSON.stringify(wanted) || { seen };
    },
    deadlineMs,
  );

/** Looks without a pause whether two nodes accept writes at the same time, until it is stopped. */
const watchForTwoWriters = (): (() => Promise<string[]>) => {
  const found: string[] = [];
  let going = true;
  const watching = (async () => {
    while (going) {
      const [first, ...others] = await writableNodes(here.lab).catch(() => []);
      // The first one may have been closed before the others were looked at.
      if (first !== undefined && others.length > 0 && (await writableNodes(here.lab)).includes(first)) {
        found.push(`${first} and ${others}`);
      }
      await delay(20);
    }
  })();
  return async () => {
    going = false;
    await watching;
    return found;
  };
};

let twoWriters: () => Promise<string[]>;
beforeEach(() => {
  twoWriters = watchForTwoWriters();
});
afterEach(async () => {
  here.lab.faults.clear();
  expect(await twoWriters()).toEqual([]);
});

const switchOver = async (to: LabNode): Promise<void> => {
  const id = await beginSwitchover(here.lab, to.name, { target: to.instanceId });
  expect(await ended(here.lab, id)).toMatchObject({ state: "succeeded" });
};

it("a switchover: the groups change their members, and clients write again as soon as the balancer sees the new one healthy", async () => {
  const { primary, replicas } = await roles(here.lab);
  const [target, other] = replicas as [LabNode, LabNode];
  await groupsAre([primary], replicas);
  const writing = await here.clientsWrite(3);
  await switchOver(target);
  await here.writesAgain();
  await groupsAre([target], [primary, other]);
  await here.expectSound(writing);
});

it("mysqld of the primary is killed: its own agent takes it out of the write group, and its successor is put in", async () => {
  const { primary, replicas } = await roles(here.lab);
  const writing = await here.clientsWrite(3);
  await here.lab.machine(primary.name).killProcess("mysqld");
  await here.anotherIsPrimary(primary);
  await here.writesAgain();
  const successor = (await roles(here.lab)).primary;
  expect(replicas.map(({ name }) => name)).toContain(successor.name);
  await here.expectSound(writing);
  await groupsAre([successor], [primary, ...replicas.filter(({ name }) => name !== successor.name)]);
});

it("the primary's whole node loses power: its successor takes it out of the write group, and it returns as a reader", async () => {
  const { primary } = await roles(here.lab);
  const writing = await here.clientsWrite(3);
  await here.lab.machine(primary.name).kill();
  await here.anotherIsPrimary(primary);
  await here.writesAgain();
  const after = await roles(here.lab);
  await here.lab.waitUntil(
    "only the successor is in the write group while the old primary is still away",
    async () => {
      const seen = await members("writeTarget");
      return (seen.length === 1 && seen[0] === after.primary.name) || { seen };
    },
    20_000,
  );
  await here.backAndHealthy(primary.name);
  await here.expectSound(writing);
  await groupsAre([after.primary], after.replicas);
});

it("a client that the balancer sent to the old primary too late loses its session there, instead of keeping one that cannot write", async () => {
  const { primary, replicas } = await roles(here.lab);
  const [target] = replicas as [LabNode];
  // The old primary stays in the group alone; a balancer that has nobody healthy sends clients to whom it has.
  const allow = ["DeregisterTargets", "RegisterTargets"].map((operation) =>
    here.lab.faults.add({ match: { service: elb, operation }, effect: { kind: "throttle" } }),
  );
  await switchOver(target);
  await here.lab.waitUntil(
    "the balancer sees nobody healthy",
    async () => {
      const { writeTarget } = (await here.lab.overview()).nodes.find(({ name }) => name === primary.name) ?? {};
      return writeTarget === "unhealthy" || { seen: writeTarget };
    },
    20_000,
  );
  const late = await connect(await here.lab.login("write"));
  let lost = false;
  late.on("error", () => {
    lost = true;
  });
  late.on("end", () => {
    lost = true;
  });
  const [rows] = await late.query("SELECT @@report_host AS host");
  expect(rows).toEqual([{ host: primary.address }]);
  await expect(late.query("INSERT INTO app.written (k) VALUES ('late')")).rejects.toMatchObject({
    code: "ER_OPTION_PREVENTS_STATEMENT",
  });
  for (const lift of allow) lift();
  await here.lab.waitUntil("its session has ended", () => lost || "it is still there", 20_000);
  late.destroy();
  await here.writesAgain();
  expect(await value(here.lab, "write", "SELECT @@report_host")).toBe(target.address);
});
