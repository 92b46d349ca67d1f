import { describe, expect, it } from "vitest";
import {
  beginWaiting,
  globalTimeoutSeconds,
  type LifecycleHook,
  launching,
  readHook,
  recordHeartbeat,
  scaleInVictims,
} from "#lab/cloud/lifecycle.ts";

const hook: LifecycleHook = {
  name: "raft-launch",
  transition: launching,
  heartbeatSeconds: 60,
  defaultResult: "ABANDON",
};

describe("a held instance", () => {
  it("is held for one heartbeat", () => {
    expect(beginWaiting(hook, "t", 1000, 1).deadline).toBe(61_000);
  });

  it("is held longer by each heartbeat, counted from the heartbeat", () => {
    const action = recordHeartbeat(beginWaiting(hook, "t", 0, 1), 50_000, 1);
    expect(action.deadline).toBe(110_000);
  });

  it("is held for 100 heartbeats at most", () => {
    let action = beginWaiting(hook, "t", 0, 1);
    for (let now = 0; now < 10_000_000; now += 30_000) action = recordHeartbeat(action, now, 1);
    expect(action.deadline).toBe(100 * 60_000);
  });

  it("is held for 48 hours at most", () => {
    expect(globalTimeoutSeconds(3600)).toBe(48 * 3600);
    expect(globalTimeoutSeconds(300)).toBe(30_000);
  });

  it("is held for less where the lab's time is divided", () => {
    expect(beginWaiting(hook, "t", 0, 30)).toMatchObject({ deadline: 2000, latest: 200_000 });
  });
});

describe("a hook", () => {
  const fields = { LifecycleHookName: "a", LifecycleTransition: launching };
  it("has AWS's defaults", () => {
    expect(readHook(fields, undefined)).toEqual({
      name: "a",
      transition: launching,
      heartbeatSeconds: 3600,
      defaultResult: "ABANDON",
    });
  });
  it("keeps what an update does not name", () => {
    const before = readHook({ ...fields, HeartbeatTimeout: "300", DefaultResult: "CONTINUE" }, undefined);
    expect(readHook({ LifecycleHookName: "a", HeartbeatTimeout: "600" }, before)).toEqual({
      ...before,
      heartbeatSeconds: 600,
    });
  });
  it.each([
    ["no transition", { LifecycleHookName: "a" }],
    ["a heartbeat of 29 seconds", { ...fields, HeartbeatTimeout: "29" }],
    ["a heartbeat of 7201 seconds", { ...fields, HeartbeatTimeout: "7201" }],
    ["another default result", { ...fields, DefaultResult: "PERHAPS" }],
  ])("with %s is refused", (_, bad) => {
    expect(() => readHook(bad, undefined)).toThrow(expect.objectContaining({ code: "ValidationError" }));
  });
});

describe("a group that shrinks", () => {
  const members = [
    { instanceId: "1", availabilityZone: "a", isProtected: false },
    { instanceId: "2", availabilityZone: "b", isProtected: true },
    { instanceId: "3", availabilityZone: "b", isProtected: false },
    { instanceId: "4", availabilityZone: "c", isProtected: false },
    { instanceId: "5", availabilityZone: "a", isProtected: false },
  ];
  const ids = (count: number) => scaleInVictims(members, count).map(({ instanceId }) => instanceId);
  it("takes the oldest of the fullest zone, again and again", () => {
    expect(ids(2)).toEqual(["1", "3"]);
  });
  it("never takes a protected one", () => {
    expect(ids(5)).toEqual(["1", "3", "4", "5"]);
  });
});
