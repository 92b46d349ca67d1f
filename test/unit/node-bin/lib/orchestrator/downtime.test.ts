import { describe, expect, it } from "vitest";
import type { OrchestratorInstance } from "#node/lib/orchestrator/answers.ts";
import { downtimesToEnd, instancesToForget } from "#node/lib/orchestrator/downtime.ts";

const [primary, replica, other] = ["10.1.0.1", "10.1.0.2", "10.1.0.3"] as const;
const members = [primary, replica, other];
const returned: OrchestratorInstance = {
  host: replica,
  port: 3306,
  serverUuid: "",
  readOnly: true,
  sourceHost: primary,
  receives: true,
  applies: true,
  answers: true,
  clusterName: `${primary}:3306`,
  downtime: { reason: "lost-in-recovery", owner: "node" },
  problems: [],
};

describe("downtimes to end", () => {
  it.each<[string, Partial<OrchestratorInstance>, boolean]>([
    ["a node replicates again from the recorded primary", {}, true],
    [
      "the node is the recorded primary again",
      { host: primary, sourceHost: undefined, receives: false, applies: false },
      true,
    ],
    ["it does not answer", { answers: false }, false],
    ["its receiver does not run", { receives: false }, false],
    ["its applier does not run", { applies: false }, false],
    ["it replicates from another than the recorded primary", { sourceHost: other }, false],
    ["it accepts writes beside the primary", { sourceHost: undefined, receives: false, applies: false }, false],
    ["it is not in the group", { host: "10.1.0.99" }, false],
    ["a person has put it in downtime", { downtime: { reason: "maintenance", owner: "alice" } }, false],
    ["it is in no downtime", { downtime: undefined }, false],
  ])("%s: %#", (_, change, ends) => {
    const seen = { ...returned, ...change };
    expect(downtimesToEnd([seen], primary, members)).toEqual(ends ? [seen.host] : []);
  });
});

describe("instances to forget", () => {
  it("are those that no instance of the group has, and that do not answer", () => {
    const silent = { ...returned, host: other, answers: false };
    const stranger = { ...returned, host: "10.1.0.98" };
    const gone = { ...returned, host: "10.1.0.99", answers: false };
    expect(instancesToForget([returned, silent, stranger, gone], members)).toEqual(["10.1.0.99"]);
  });
});
