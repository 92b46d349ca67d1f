import { describe, expect, it } from "vitest";
import { createSystemd } from "#lab/machine/systemd.ts";
import { unitDefinition } from "#lab/machine/unit.ts";
import { fakeHost, settle } from "./fake-host.ts";

function machine() {
  const fake = fakeHost();
  const systemd = createSystemd(
    [
      unitDefinition({ name: "mysql", argv: ["mysqld"], restart: "on-failure", restartMs: 100 }),
      unitDefinition({ name: "percona-bootstrap", argv: ["bootstrap"], type: "oneshot" }),
    ],
    fake.host,
  );
  const run = (line: string, environment: Record<string, string> = {}) =>
    systemd.command({ argv: line.split(" "), environment });
  return { ...fake, systemd, run };
}

describe("systemctl", () => {
  it("starts, tells the state of, and stops a unit", async () => {
    const { run, last } = machine();
    expect(await run("systemctl is-active mysql")).toMatchObject({ exitCode: 3, stdout: "inactive\n" });
    expect(await run("systemctl start mysql.service")).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await run("systemctl is-active mysql")).toMatchObject({ exitCode: 0, stdout: "active\n" });
    expect(await run("systemctl status mysql")).toMatchObject({ exitCode: 0 });
    const stop = run("systemctl stop mysql");
    await settle();
    expect(last().signals).toContain("SIGTERM");
    void stop;
  });

  it("knows what is not there", async () => {
    const { run } = machine();
    expect(await run("systemctl start nothing")).toMatchObject({ exitCode: 5 });
    expect(await run("systemctl stop nothing")).toMatchObject({ exitCode: 5 });
    expect(await run("systemctl status nothing")).toMatchObject({ exitCode: 4 });
    expect(await run("systemctl is-active nothing")).toMatchObject({ exitCode: 3, stdout: "inactive\n" });
    expect(await run("systemctl show -p LoadState --value nothing")).toMatchObject({ stdout: "not-found\n" });
  });

  it("waits for a oneshot, and not with --no-block", async () => {
    const { run, last } = machine();
    expect(await run("systemctl start --no-block percona-bootstrap")).toMatchObject({ exitCode: 0 });
    expect(await run("systemctl is-active percona-bootstrap")).toMatchObject({ exitCode: 3, stdout: "activating\n" });
    const start = run("systemctl start percona-bootstrap");
    await last().end({ code: 1 });
    const { exitCode, stderr } = await start;
    expect(exitCode).toBe(1);
    expect(stderr).toContain("exit-code");
    expect(await run("systemctl is-failed percona-bootstrap")).toMatchObject({ exitCode: 0, stdout: "failed\n" });
    await run("systemctl reset-failed percona-bootstrap");
    expect(await run("systemctl is-failed percona-bootstrap")).toMatchObject({ exitCode: 1, stdout: "inactive\n" });
  });

  it("restarts only what runs with try-restart", async () => {
    const { run, runs, pass } = machine();
    expect(await run("systemctl try-restart mysql")).toMatchObject({ exitCode: 0 });
    expect(runs).toHaveLength(0);
    await run("systemctl start mysql");
    const restart = run("systemctl try-restart mysql");
    await pass(100);
    expect(await restart).toMatchObject({ exitCode: 0 });
    expect(runs).toHaveLength(2);
  });

  it("sends signals", async () => {
    const { run, last } = machine();
    await run("systemctl start mysql");
    await run("systemctl kill --signal=HUP mysql");
    await run("systemctl kill -s SIGUSR1 --kill-whom=main mysql");
    expect(last().signals).toEqual(["SIGHUP", "SIGUSR1"]);
  });

  it("shows properties in the order they are asked for", async () => {
    const { run, last, pass } = machine();
    await run("systemctl start mysql");
    await last().end({ signal: "SIGKILL" });
    await pass(100);
    expect(await run("systemctl show -p NRestarts,MainPID -p ExecMainStatus mysql")).toMatchObject({
      stdout: "NRestarts=1\nMainPID=1001\nExecMainStatus=9\n",
    });
    expect(await run("systemctl show --property=ActiveState --value mysql")).toMatchObject({ stdout: "active\n" });
  });

  it("names what it does not know", async () => {
    const { run } = machine();
    expect((await run("systemctl edit mysql")).stderr).toContain("'edit'");
    expect((await run("systemctl start --wrong mysql")).stderr).toContain("--wrong");
    expect(await run("systemctl start")).toMatchObject({ exitCode: 1 });
  });
});

describe("systemd-run", () => {
  it("starts a transient unit whose program keeps its own options", async () => {
    const { run, last } = machine();
    const { exitCode, stderr } = await run(
      "systemd-run --unit=op-1 --collect -p Restart=on-failure --property=RestartSec=2min --setenv=A=1 -E B=x=y -- node --unit=mine run.mjs",
    );
    expect(exitCode).toBe(0);
    expect(stderr).toContain("op-1.service");
    expect(last().unit).toMatchObject({
      name: "op-1",
      argv: ["node", "--unit=mine", "run.mjs"],
      restart: "on-failure",
      restartMs: 120_000,
      environment: { A: "1", B: "x=y" },
      collect: true,
    });
  });

  it("takes the program from the first word that is no option", async () => {
    const { run, last } = machine();
    await run("systemd-run --quiet -u x sleep -n 5");
    expect(last().unit.argv).toEqual(["sleep", "-n", "5"]);
  });

  it("takes a variable's value from the caller when only its name is given", async () => {
    const { run, last } = machine();
    await run("systemd-run --setenv=SECRET true", { SECRET: "s3" });
    expect(last().unit.environment).toEqual({ SECRET: "s3" });
    expect(await run("systemd-run --setenv=OTHER true")).toMatchObject({ exitCode: 1 });
  });

  it("refuses a name that is in use until the unit has ended", async () => {
    const { run, last } = machine();
    await run("systemd-run --unit=op sleep");
    expect((await run("systemd-run --unit=op sleep")).stderr).toContain("already loaded");
    await last().end({ code: 0 });
    expect(await run("systemd-run --unit=op sleep")).toMatchObject({ exitCode: 0 });
  });

  it("refuses a property it does not know", async () => {
    const { run, runs } = machine();
    expect((await run("systemd-run -p RestrtSec=1 true")).stderr).toContain("RestrtSec=1");
    expect(runs).toHaveLength(0);
  });

  it("with --wait ends as its program did", async () => {
    const { run, last, pass } = machine();
    const done = run("systemd-run --wait false");
    await last().end({ code: 7 });
    await pass(50);
    expect(await done).toMatchObject({ exitCode: 7 });
  });
});
