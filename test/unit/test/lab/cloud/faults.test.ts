import { describe, expect, it, vi } from "vitest";
import { createFaults } from "#lab/cloud/faults.ts";

const node = { principal: "i-1", service: "dynamodb", operation: "UpdateItem" };

describe("a fault", () => {
  it("concerns the calls that it names", () => {
    const faults = createFaults();
    faults.add({ match: { principal: "i-1", service: "dynamodb" }, effect: { kind: "throttle" } });
    expect(faults.effectsOn(node).effect).toEqual({ kind: "throttle" });
    expect(faults.effectsOn({ ...node, principal: "i-2" }).effect).toBeUndefined();
    expect(faults.effectsOn({ ...node, service: "s3" }).effect).toBeUndefined();
  });

  it("ends when it is removed, used up or cleared", () => {
    const faults = createFaults();
    const remove = faults.add({ match: {}, effect: { kind: "deny" } });
    remove();
    expect(faults.effectsOn(node).effect).toBeUndefined();
    faults.add({ match: {}, effect: { kind: "deny" }, times: 2 });
    expect([1, 2, 3].map(() => faults.effectsOn(node).effect?.kind)).toEqual(["deny", "deny", undefined]);
    faults.add({ match: {}, effect: { kind: "deny" } });
    faults.clear();
    expect(faults.effectsOn(node).effect).toBeUndefined();
  });

  it("adds its delay to those of others", () => {
    const faults = createFaults();
    faults.add({ match: {}, effect: { kind: "delay", delayMs: 10 } });
    faults.add({ match: { service: "dynamodb" }, effect: { kind: "delay", delayMs: 5 } });
    faults.add({ match: {}, effect: { kind: "deny" } });
    expect(faults.effectsOn(node)).toEqual({ delayMs: 15, effect: { kind: "deny" } });
  });
});

describe("a cut", () => {
  it("also ends calls that are on their way", () => {
    const faults = createFaults();
    const [mine, ended, other] = [vi.fn(), vi.fn(), vi.fn()];
    faults.track(node, mine);
    faults.track(node, ended)();
    faults.track({ ...node, principal: "i-2" }, other);
    faults.add({ match: { principal: "i-1" }, effect: { kind: "cut" } });
    expect(mine).toHaveBeenCalledOnce();
    expect(ended).not.toHaveBeenCalled();
    expect(other).not.toHaveBeenCalled();
  });
});
