import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { machineLayout } from "#lab/machine/layout.ts";
import { parseStat } from "#lab/machine/processes.ts";
import { parseRequest } from "#lab/machine/systemd-socket.ts";
import { machineTimers } from "#lab/machine/timers.ts";
import { timeSpan } from "#lab/machine/unit.ts";

describe("a time span", () => {
  it.each([
    ["0", 0],
    ["5", 5000],
    ["0.1", 100],
    ["100ms", 100],
    ["1min 30s", 90_000],
    ["2h", 7_200_000],
    ["infinity", Number.POSITIVE_INFINITY],
  ])("%s is %d ms", (text, milliseconds) => {
    expect(timeSpan(text)).toBe(milliseconds);
  });

  it.each(["", "soon", "5 parsecs", "-1", "5s!"])("'%s' is none", (text) => {
    expect(() => timeSpan(text)).toThrow("time span");
  });
});

describe("timers of a machine", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("keep what is left while the machine is stopped", () => {
    const timers = machineTimers();
    const fired = vi.fn();
    timers.after(100, fired);
    vi.advanceTimersByTime(60);
    timers.halt();
    vi.advanceTimersByTime(10_000);
    expect(fired).not.toHaveBeenCalled();
    timers.go();
    vi.advanceTimersByTime(39);
    expect(fired).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(fired).toHaveBeenCalledOnce();
  });

  it("that are set or cancelled while it is stopped count from when it goes on", () => {
    const timers = machineTimers();
    const [late, never] = [vi.fn(), vi.fn()];
    timers.halt();
    timers.after(50, late);
    timers.after(50, never)();
    vi.advanceTimersByTime(1000);
    timers.go();
    vi.advanceTimersByTime(50);
    expect(late).toHaveBeenCalledOnce();
    expect(never).not.toHaveBeenCalled();
  });
});

describe("what is read from elsewhere", () => {
  it("finds state and session behind a name with spaces and parentheses", () => {
    expect(parseStat("42 (a) b (c) S 1 40 39 0 -1 4194560")).toEqual({ state: "S", session: 39 });
  });

  it("takes a request apart, empty arguments included", () => {
    const bytes = Buffer.from("3\0systemctl\0start\0\0PATH=/bin\0EMPTY=\0X=a=b\0");
    expect(parseRequest(bytes)).toEqual({
      argv: ["systemctl", "start", ""],
      environment: { PATH: "/bin", EMPTY: "", X: "a=b" },
    });
  });

  it("refuses a socket path that the kernel would cut", () => {
    expect(() => machineLayout("/state/i-1", `/${"x".repeat(100)}`)).toThrow("TMPDIR");
  });
});
