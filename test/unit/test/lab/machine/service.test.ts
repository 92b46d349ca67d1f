import { describe, expect, it } from "vitest";
import { createService, type JobOutcome } from "#lab/machine/service.ts";
import { type UnitDefinition, unitDefinition } from "#lab/machine/unit.ts";
import { fakeHost, settle } from "./fake-host.ts";

function serviceOf(given: Partial<UnitDefinition>) {
  const fake = fakeHost();
  let forgotten = 0;
  const unit = unitDefinition({ name: "u", argv: ["/bin/true"], ...given });
  const service = createService(unit, {
    ...fake.host,
    note: (line) => fake.host.note("u", line),
    forget: () => {
      forgotten++;
    },
  });
  return { ...fake, service, forgotten: () => forgotten };
}

/** The outcome so far; undefined while it is pending. */
function watch<T>(promise: Promise<T>): { value?: T } {
  const seen: { value?: T } = {};
  void promise.then((value) => {
    seen.value = value;
  });
  return seen;
}

describe("a simple service", () => {
  it("has started when its process exists", async () => {
    const { service, runs } = serviceOf({});
    expect(await service.start()).toEqual({ ok: true });
    expect(service.state()).toMatchObject({
      active: "active",
      sub: "running",
      mainPid: 1000,
      invocation: "invocation1",
    });
    await service.start();
    expect(runs).toHaveLength(1);
  });

  it.each([
    ["no", { code: 0 }, "inactive", "success"],
    ["no", { code: 3 }, "failed", "exit-code"],
    ["no", { signal: "SIGTERM" }, "inactive", "success"],
    ["no", { signal: "SIGKILL" }, "failed", "signal"],
    ["on-failure", { code: 0 }, "inactive", "success"],
  ] as const)("with Restart=%s stays down after %o", async (restart, end, active, result) => {
    const { service, runs, last, pass } = serviceOf({ restart });
    await service.start();
    await last().end(end);
    await pass(1000);
    expect(runs).toHaveLength(1);
    expect(service.state()).toMatchObject({ active, result, mainPid: 0 });
  });

  it.each([
    ["on-failure", { code: 1 }],
    ["on-failure", { signal: "SIGKILL" }],
    ["always", { code: 0 }],
    ["always", { signal: "SIGTERM" }],
  ] as const)("with Restart=%s comes back after %o when RestartSec is over", async (restart, end) => {
    const { service, runs, last, pass } = serviceOf({ restart, restartMs: 200 });
    await service.start();
    await last().end(end);
    await pass(199);
    expect(service.state()).toMatchObject({ active: "activating", sub: "auto-restart" });
    expect(runs).toHaveLength(1);
    await pass(1);
    expect(runs).toHaveLength(2);
    expect(service.state()).toMatchObject({ active: "active", restarts: 1 });
  });

  it("takes its children down when the main process ends, before it restarts", async () => {
    const { service, runs, last, pass } = serviceOf({ restart: "always", restartMs: 0, timeoutStopMs: 500 });
    await service.start();
    const first = last();
    first.children = 2;
    first.obeys = ["SIGKILL"];
    await first.end({ code: 1 });
    await pass(499);
    expect(first.signals).toContain("SIGTERM");
    expect(first.signals).not.toContain("SIGKILL");
    expect(runs).toHaveLength(1);
    await pass(20);
    expect(first.signals).toContain("SIGKILL");
    expect(first.children).toBe(0);
    expect(runs).toHaveLength(2);
  });
});

describe("stopping", () => {
  it("is over when the whole group has ended, and no restart follows", async () => {
    const { service, runs, last, pass } = serviceOf({ restart: "always", restartMs: 0 });
    await service.start();
    last().obeys = [];
    const stop = watch(service.stop().then(() => "stopped"));
    await pass(50);
    expect(last().signals.slice(0, 2)).toEqual(["SIGTERM", "SIGCONT"]);
    expect(service.state().active).toBe("deactivating");
    last().children = 1;
    await last().end({ signal: "SIGTERM" });
    await pass(50);
    expect(stop.value).toBeUndefined();
    last().children = 0;
    await pass(20);
    expect(stop.value).toBe("stopped");
    await pass(1000);
    expect(runs).toHaveLength(1);
    expect(service.state()).toMatchObject({ active: "inactive", result: "success" });
  });

  it("sends SIGKILL after TimeoutStopSec and says timeout", async () => {
    const { service, last, pass } = serviceOf({ timeoutStopMs: 300 });
    await service.start();
    last().obeys = ["SIGKILL"];
    const stop = watch(service.stop().then(() => "stopped"));
    await pass(299);
    expect(stop.value).toBeUndefined();
    await pass(50);
    expect(stop.value).toBe("stopped");
    expect(service.state()).toMatchObject({ active: "failed", result: "timeout" });
  });

  it("cancels a restart that is due", async () => {
    const { service, runs, last, pass } = serviceOf({ restart: "always", restartMs: 100 });
    await service.start();
    await last().end({ code: 1 });
    await service.stop();
    await pass(1000);
    expect(runs).toHaveLength(1);
    expect(service.state().active).toBe("inactive");
  });

  it("makes a start that comes meanwhile wait for the end", async () => {
    const { service, runs, last, pass } = serviceOf({});
    await service.start();
    last().obeys = [];
    void service.stop();
    const start = watch(service.start());
    await pass(50);
    expect(runs).toHaveLength(1);
    await last().end({ code: 0 });
    await pass(50);
    expect(start.value).toEqual({ ok: true });
    expect(runs).toHaveLength(2);
  });
});

describe("a oneshot", () => {
  it("has started when it has ended well", async () => {
    const { service, last, pass } = serviceOf({ type: "oneshot" });
    const start = watch(service.start());
    await pass(100);
    expect(start.value).toBeUndefined();
    expect(service.state()).toMatchObject({ active: "activating", sub: "start" });
    await last().end({ code: 0 });
    expect(start.value).toEqual({ ok: true });
    expect(service.state().active).toBe("inactive");
  });

  it("fails its start when it fails, SIGTERM included", async () => {
    for (const end of [{ code: 2 }, { signal: "SIGTERM" }] as const) {
      const { service, last } = serviceOf({ type: "oneshot" });
      const start = watch<JobOutcome>(service.start());
      await last().end(end);
      expect(start.value?.ok).toBe(false);
      expect(service.state().active).toBe("failed");
    }
  });

  it("with Restart=on-failure is tried until it ends well", async () => {
    const { service, runs, last, pass } = serviceOf({ type: "oneshot", restart: "on-failure", restartMs: 1000 });
    const start = watch(service.start());
    for (let attempt = 0; attempt < 3; attempt++) {
      await last().end({ code: 1 });
      await pass(1000);
    }
    expect(start.value).toBeUndefined();
    await last().end({ code: 0 });
    expect(start.value).toEqual({ ok: true });
    expect(runs).toHaveLength(4);
  });

  it("with RemainAfterExit stays active", async () => {
    const { service, last } = serviceOf({ type: "oneshot", remainAfterExit: true });
    const start = service.start();
    await last().end({ code: 0 });
    await start;
    expect(service.state()).toMatchObject({ active: "active", sub: "exited" });
  });
});

describe("a transient service", () => {
  it.each([
    [{ code: 0 }, false, 1],
    [{ code: 1 }, false, 0],
    [{ code: 1 }, true, 1],
  ] as const)("that ends with %o and collect %s is forgotten %i times", async (end, collect, times) => {
    const { service, last, forgotten } = serviceOf({ transient: true, collect });
    await service.start();
    await last().end(end);
    expect(forgotten()).toBe(times);
  });
});

describe("a power cut", () => {
  it("leaves nothing that could start a process again", async () => {
    const { service, runs, last, pass } = serviceOf({ restart: "always", restartMs: 10 });
    await service.start();
    service.cutPower();
    await last().end({ signal: "SIGKILL" });
    await pass(1000);
    expect(await service.start()).toMatchObject({ ok: false });
    expect(runs).toHaveLength(1);
  });

  it("answers those who wait", async () => {
    const { service } = serviceOf({ type: "oneshot" });
    const start = watch(service.start());
    service.cutPower();
    await settle();
    expect(start.value).toMatchObject({ ok: false });
  });
});
