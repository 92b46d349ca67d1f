import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { journalPath } from "#lab/machine/layout.ts";
import { waitUntil } from "#lab/wait.ts";
import { shell, statesOf, testMachine } from "./machine-fixture.ts";

const opened: { dispose(): Promise<void> }[] = [];
const open = async (units: Parameters<typeof testMachine>[0]) => {
  const fixture = await testMachine(units);
  opened.push(fixture);
  return fixture;
};
afterEach(async () => {
  for (const fixture of opened.splice(0)) await fixture.dispose();
});

const never = new AbortController().signal;
const script = (text: string, change: { timeoutMs?: number; signal?: AbortSignal } = {}) => ({
  script: [text],
  environment: { SSM_word: "given" },
  timeoutMs: 10_000,
  signal: never,
  ...change,
});

describe("a unit on a machine", () => {
  it("comes back after its main process is killed, and its journal says so", async () => {
    const { machine } = await open([
      { name: "d", argv: shell("echo here; exec sleep 600"), restart: "always", restartMs: 50 },
    ]);
    await machine.systemctl("start", "d");
    const journalHas = (count: number) => async () => {
      const journal = await readFile(journalPath(machine.layout, "d"), "utf8");
      return journal.match(/^here$/gm)?.length === count || journal;
    };
    await waitUntil("it has written", journalHas(1), 3000);
    const before = machine.signalUnit("d", "SIGKILL");
    await waitUntil(
      "it runs again",
      () => (machine.unitState("d")?.restarts === 1 && machine.unitState("d")?.active === "active") || "not yet",
      3000,
    );
    expect(machine.unitState("d")?.mainPid).not.toBe(before);
    await waitUntil("it has written again", journalHas(2), 3000);
    expect(await readFile(journalPath(machine.layout, "d"), "utf8")).toContain("ended with signal SIGKILL");
  });

  it("is stopped with every descendant: one with an empty environment, one in a session of its own", async () => {
    const { machine, sessions } = await open([
      {
        name: "d",
        argv: shell("env -i sleep 601 & setsid sleep 602 & trap '' TERM; sleep 600 & wait; wait"),
        timeoutStopMs: 200,
      },
    ]);
    await machine.systemctl("start", "d");
    await waitUntil("all four run", () => machine.processes().length === 4 || { seen: machine.processes() }, 3000);
    const all = machine.processes();
    // That of the boot's own unit is forgotten when its end was seen.
    await waitUntil("one session is left", () => sessions.size === 1 || { seen: [...sessions] }, 3000);
    await machine.systemctl("stop", "d");
    expect(statesOf(all)).toEqual([]);
    expect(sessions.size).toBe(0);
    expect(machine.unitState("d")).toMatchObject({ active: "failed", result: "timeout" });
  });

  it("whose program is missing fails like systemd's, with 203", async () => {
    const { machine } = await open([{ name: "d", argv: ["/no/such/program"] }]);
    await machine.systemctl("start", "d");
    await waitUntil("it has failed", () => machine.unitState("d")?.active === "failed" || "not yet", 3000);
    expect(machine.unitState("d")?.lastEnd).toEqual({ code: 203, signal: null });
  });
});

describe("a machine's own systemctl and systemd-run", () => {
  it("work from its processes, exit codes included", async () => {
    const { machine } = await open([{ name: "d", argv: shell("exec sleep 600") }]);
    const result = await machine.run(
      script(
        "systemctl is-active d; echo $?; systemctl start d && systemctl is-active d; systemctl start nothing; echo $?; systemd-run --quiet --unit=op --setenv=SSM_word /bin/sh -c 'echo $SSM_word >$TMPDIR/op; exec sleep 600' && systemctl show -p ActiveState --value op",
      ),
    );
    expect(result).toMatchObject({ exitCode: 0, timedOut: false });
    expect(result.stdout).toBe("inactive\n3\nactive\n5\nactive\n");
    expect(result.stderr).toContain("Unit nothing.service not found");
    await waitUntil(
      "op has written",
      async () => (await readFile(join(machine.layout.temporary, "op"), "utf8")) === "given\n" || "",
      3000,
    );
  });

  it("start in less than 60 ms", async () => {
    const { machine } = await open([]);
    const { stdout } = await machine.run(
      script(
        "for i in 1 2 3 4 5 6 7 8 9; do a=$(date +%s%N); systemctl is-active boot >/dev/null; b=$(date +%s%N); echo $(( (b - a) / 1000 )); done",
      ),
    );
    const microseconds = stdout
      .trim()
      .split("\n")
      .map(Number)
      .sort((one, other) => one - other);
    expect(microseconds).toHaveLength(9);
    // The fastest third: others' work on this machine is not the program's.
    expect((microseconds[2] ?? Number.NaN) / 1000).toBeLessThan(60);
  });
});

describe("a stopped machine", () => {
  it("does nothing until it goes on: processes stand still, and so does the clock of restarts", async () => {
    const { machine } = await open([
      { name: "d", argv: shell("sleep 601 & sleep 600; wait") },
      { name: "crashing", argv: ["false"], restart: "always", restartMs: 300 },
    ]);
    await machine.systemctl("start", "d", "crashing");
    await waitUntil(
      "it waits for its restart",
      () => machine.unitState("crashing")?.sub === "auto-restart" || "not yet",
      3000,
    );
    await machine.stop();
    expect(machine.power()).toBe("stopped");
    const pids = machine.processes();
    expect(pids.length).toBeGreaterThanOrEqual(3);
    expect(statesOf(pids)).toEqual(pids.map(() => "T"));
    const restarts = machine.unitState("crashing")?.restarts;
    // Longer than RestartSec: a clock that went on would show.
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(machine.unitState("crashing")?.restarts).toBe(restarts);
    await machine.cont();
    await waitUntil("it is restarted", () => machine.unitState("crashing")?.restarts !== restarts || "not yet", 3000);
    expect(statesOf(pids)).not.toContain("T");
  });
});

describe("a power cut", () => {
  it("leaves no process and keeps the disk; the machine boots again", async () => {
    const { machine, sessions } = await open([
      { name: "d", argv: shell("setsid sleep 602 & exec sleep 600"), restart: "always", restartMs: 0 },
    ]);
    await machine.systemctl("start", "d");
    await waitUntil("both run", () => machine.processes().length === 2 || "not yet", 3000);
    const pids = machine.processes();
    await writeFile(join(machine.layout.data, "kept"), "x");
    await machine.kill();
    expect(statesOf(pids)).toEqual([]);
    expect(machine.processes()).toEqual([]);
    expect(sessions.size).toBe(0);
    expect(machine.power()).toBe("off");
    await machine.boot();
    expect(existsSync(join(machine.layout.data, "kept"))).toBe(true);
    expect(await machine.systemctl("is-active", "d")).toMatchObject({ stdout: "inactive\n" });
  });

  it("of a stopped machine works too", async () => {
    const { machine } = await open([{ name: "d", argv: ["sleep", "600"] }]);
    await machine.systemctl("start", "d");
    await machine.stop();
    await machine.kill();
    expect(machine.processes()).toEqual([]);
    expect(machine.power()).toBe("off");
  });

  it("for ever removes the disk", async () => {
    const { machine } = await open([]);
    await machine.destroy();
    expect(existsSync(machine.layout.directory)).toBe(false);
    expect(existsSync(machine.layout.sockets)).toBe(false);
  });
});

describe("a command for the node's SSM agent", () => {
  it("may name another interpreter, and sees its parameters", async () => {
    const { machine } = await open([]);
    const perl = await machine.run(script('#!/usr/bin/perl\nprint "$ENV{SSM_word}\\n"; exit 4;'));
    expect(perl).toMatchObject({ exitCode: 4, stdout: "given\n" });
  });

  it("is ended with its children at its timeout, and when it is cancelled", async () => {
    const { machine } = await open([]);
    const late = await machine.run(script("echo begun; sleep 600 & sleep 601", { timeoutMs: 300 }));
    expect(late).toMatchObject({ exitCode: null, stdout: "begun\n", timedOut: true });
    const cancel = new AbortController();
    const running = machine.run(script("sleep 600", { signal: cancel.signal }));
    await waitUntil("it runs", () => machine.processes().length > 0 || "not yet", 3000);
    cancel.abort();
    expect(await running).toMatchObject({ exitCode: null, timedOut: false });
    expect(machine.processes()).toEqual([]);
  });
});
