import { describe, expect, it } from "vitest";
import { forcedSteps, switchoverSteps } from "#node/lib/failover/switchover/steps.ts";

/** What changes nothing, or what cannot be taken back: a freeze ends only with a recorded fence as high. */
const withoutUndo = ["catch-up", "freeze"];

describe.each([
  ["switchover", switchoverSteps],
  ["forced promotion", forcedSteps],
])("the steps of a %s", (_name, steps) => {
  const pivot = steps.findIndex((step) => step.pointOfNoReturn);

  it("have names that are used once, which is how the journal knows them", () => {
    expect(new Set(steps.map(({ name }) => name)).size).toBe(steps.length);
    for (const { name } of steps) expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
  });

  it("say to people what they do", () => {
    for (const { description } of steps) expect(description.length).toBeGreaterThan(10);
  });

  it("have exactly one point of no return, and it is the record", () => {
    expect(steps.filter((step) => step.pointOfNoReturn).map(({ name }) => name)).toEqual(["record"]);
  });

  it("can be taken back up to it when they change something, and not after it", () => {
    const missing = steps.slice(0, pivot).filter(({ undo }) => !undo);
    expect(withoutUndo).toEqual(expect.arrayContaining(missing.map(({ name }) => name)));
    expect(steps.slice(pivot).filter(({ undo }) => undo)).toEqual([]);
  });

  it("take the election lock before they record, and open after it", () => {
    const names = steps.map(({ name }) => name);
    expect(names.indexOf("take-lock")).toBeLessThan(pivot);
    expect(names.indexOf("open")).toBeGreaterThan(pivot);
  });
});

it("the old primary is read-only before the candidate catches up, and the candidate has everything before it is recorded", () => {
  const names = switchoverSteps.map(({ name }) => name);
  const order = [
    "drain",
    "demote",
    "catch-up",
    "stop-replication",
    "record",
    "open",
    "repoint",
    "route",
    "old-primary",
  ];
  expect(names.filter((name) => order.includes(name))).toEqual(order);
});

it("while clients cannot write no step waits for the journal", () => {
  const names = switchoverSteps.map(({ name }) => name);
  const window = switchoverSteps.slice(names.indexOf("demote"), names.indexOf("open") + 1);
  expect(window.filter((step) => step.inWindow !== true).map(({ name }) => name)).toEqual([]);
});
