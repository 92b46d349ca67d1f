import { describe, expect, it } from "vitest";
import { afterProbe, eligibleTargets, matchesStatus, newTarget, type TargetHealth } from "#lab/cloud/target-health.ts";

const thresholds = { healthyThreshold: 3, unhealthyThreshold: 2 };
const good = { ok: true } as const;
const bad = { ok: false, why: "HTTP 503" } as const;
const afterProbes = (from: TargetHealth, ...results: ("+" | "-")[]): TargetHealth =>
  results.reduce((health, result) => afterProbe(health, result === "+" ? good : bad, thresholds), from);

describe("health of a target", () => {
  it("is initial until it passed enough probes in a row", () => {
    expect(afterProbes(newTarget, "+", "+").state).toBe("initial");
    expect(afterProbes(newTarget, "+", "+", "-", "+", "+").state).toBe("initial");
    expect(afterProbes(newTarget, "+", "+", "+").state).toBe("healthy");
  });
  it("stays healthy when single probes fail", () => {
    const healthy = afterProbes(newTarget, "+", "+", "+");
    expect(afterProbes(healthy, "-", "+", "-", "+").state).toBe("healthy");
  });
  it("becomes unhealthy after enough failures in a row, and says why", () => {
    expect(afterProbes(newTarget, "+", "+", "+", "-", "-")).toMatchObject({ state: "unhealthy", why: "HTTP 503" });
    expect(afterProbes(newTarget, "-", "-").state).toBe("unhealthy");
  });
  it("comes back after enough successes in a row", () => {
    const unhealthy = afterProbes(newTarget, "-", "-");
    expect(afterProbes(unhealthy, "+", "+").state).toBe("unhealthy");
    expect(afterProbes(unhealthy, "+", "+", "+").state).toBe("healthy");
  });
});

describe("new connections go", () => {
  const target = (name: string, state: TargetHealth["state"], isRunning = true) => ({
    name,
    health: { ...newTarget, state },
    isRunning,
  });
  const names = (...targets: ReturnType<typeof target>[]) => eligibleTargets(targets).map(({ name }) => name);
  it("to healthy targets only", () => {
    expect(names(target("a", "healthy"), target("b", "unhealthy"), target("c", "initial"))).toEqual(["a"]);
  });
  it("to every unhealthy target when none is healthy, but to no unchecked one", () => {
    expect(names(target("a", "unhealthy"), target("b", "unhealthy"), target("c", "initial"))).toEqual(["a", "b"]);
  });
  it("nowhere when no target was checked or runs", () => {
    expect(names(target("a", "initial"), target("b", "healthy", false))).toEqual([]);
  });
});

it.each([
  ["200", 200, true],
  ["200", 204, false],
  ["200-299", 204, true],
  ["200,204", 204, true],
  ["200-201,503", 503, true],
])("the matcher %s takes %i: %s", (matcher, status, taken) => {
  expect(matchesStatus(matcher, status)).toBe(taken);
});
