import { describe, expect, it } from "vitest";
import { readHookEvent } from "#node/lib/orchestrator/hook-event.ts";
import { hookRecordings, recordedHooks } from "./recordings.ts";

const crash = recordedHooks("crash").at(-1)?.env ?? {};

describe("reading a hook's environment", () => {
  it.each(hookRecordings)("takes every recorded event of %s", (situation) => {
    for (const { hook, env } of recordedHooks(situation)) {
      expect(readHookEvent(hook, env)).toMatchObject({
        name: hook,
        failureType: env.ORC_FAILURE_TYPE,
        failedHost: env.ORC_FAILED_HOST,
        command: env.ORC_COMMAND || undefined,
        uid: env.ORC_RECOVERY_UID || undefined,
        successful: env.ORC_IS_SUCCESSFUL === "true",
      });
    }
  });

  it("has the hosts of lost replicas without their ports", () => {
    const event = readHookEvent("PostFailover", { ...crash, ORC_LOST_REPLICAS: "127.0.0.11:3306,127.0.0.14:3306" });
    expect(event.lostReplicas).toEqual(["127.0.0.11", "127.0.0.14"]);
  });

  it("has no successor where there is none", () => {
    const { ORC_SUCCESSOR_HOST: _, ...none } = crash;
    expect(readHookEvent("PostUnsuccessfulFailover", none).successorHost).toBeUndefined();
  });

  it.each([
    ["an unknown event", "PreLunch", {}, "Unknown event PreLunch"],
    ["no event", undefined, {}, "Unknown event (none)"],
    ["a name where an address belongs", "PreFailover", { ORC_FAILED_HOST: "db1; rm -rf /" }, "ORC_FAILED_HOST"],
    ["text where a uid belongs", "PreFailover", { ORC_RECOVERY_UID: "../x" }, "ORC_RECOVERY_UID"],
    ["text where a command belongs", "PreFailover", { ORC_COMMAND: "a b" }, "ORC_COMMAND"],
    ["a shortened list", "PostFailover", { ORC_LOST_REPLICAS: "127.0.0" }, "ORC_LOST_REPLICAS"],
  ])("refuses %s", (_, name, change, words) => {
    expect(() => readHookEvent(name, { ...crash, ...change })).toThrow(words);
  });

  it("refuses an environment without Orchestrator's variables", () => {
    expect(() => readHookEvent("PreFailover", { PATH: "/bin" })).toThrow("ORC_FAILED_HOST");
  });
});
