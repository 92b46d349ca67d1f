import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { MemoryUse } from "#lab/controls.ts";
import { isAlive, listProcesses } from "#lab/machine/processes.ts";
import type { Overview } from "#lab/overview.ts";
import type { LabDescription } from "#lab/state.ts";
import { waitUntil } from "#lab/wait.ts";
import { labFolders, listens, processesOf } from "./lab-fixture.ts";

let folders: Awaited<ReturnType<typeof labFolders>>;
beforeAll(async () => {
  folders = await labFolders();
});
afterAll(() => folders.dispose());

const healthyWithin = 90_000;

describe("a person", () => {
  let up: { lab: number; network: string; memory: MemoryUse; overview: Overview };
  let description: LabDescription;

  const status = async (): Promise<Overview> => JSON.parse((await folders.lab("status", "--json")).stdout) as Overview;
  const healthyAgain = (): Promise<void> =>
    waitUntil(
      "the cluster is healthy again",
      async () => {
        const { missing } = await status();
        return missing.length === 0 || missing.join("; ");
      },
      healthyWithin,
    );
  const replica = async (): Promise<string> =>
    (await status()).nodes.find(({ role }) => role === "replica")?.name ?? "none";

  const start = async (...options: string[]): Promise<void> => {
    const answer = await folders.lab("up", "--json", ...options);
    expect(answer).toMatchObject({ exitCode: 0, stderr: "" });
    up = JSON.parse(answer.stdout) as typeof up;
    description = JSON.parse(await readFile(folders.paths(up.lab).description, "utf8")) as LabDescription;
  };

  beforeAll(async () => {
    await start("--keep");
  });
  afterAll(() => folders.lab("down"));

  it("gets a healthy cluster of three in less than 2.5 GB", () => {
    expect(up.overview.missing).toEqual([]);
    expect(up.overview.nodes.map(({ role }) => role).sort()).toEqual(["primary", "replica", "replica"]);
    expect(up.overview.lastBackup?.kind).toBe("full");
    const { nodes, aws, lab } = up.memory;
    const all = Object.values(nodes).reduce((sum, bytes) => sum + bytes, aws + lab);
    expect(all).toBeGreaterThan(500e6);
    expect(all).toBeLessThan(2.5e9);
  });

  it("is told that it is up when they start it twice", async () => {
    const again = await folders.lab("up");
    expect(again).toMatchObject({ exitCode: 0, stdout: "" });
    expect(again.stderr).toContain(`Lab ${up.lab} is up already`);
  });

  it("writes through the load balancer and reads the same from a replica", async () => {
    expect(await folders.lab("sql", "write", "CREATE TABLE words (id INT PRIMARY KEY, word TEXT)")).toMatchObject({
      exitCode: 0,
    });
    const insert = await folders.lab("sql", "write", "INSERT INTO words VALUES (1, 'one'), (2, NULL)", "--json");
    expect(JSON.parse(insert.stdout)).toEqual({ affectedRows: 2 });
    await waitUntil(
      "it can be read",
      async () => {
        const { stdout } = await folders.lab("sql", "read", "SELECT id, word FROM words");
        return stdout === "id  word\n1   one\n2   NULL\n" || stdout;
      },
      10_000,
    );
    const node = await folders.lab(
      "sql",
      await replica(),
      "SELECT @@super_read_only AS ro, CURRENT_USER() AS me",
      "--json",
    );
    expect(JSON.parse(node.stdout)).toMatchObject({ rows: [{ ro: "1", me: "root@localhost" }] });
  });

  it("uses MySQL's own client, and no argument holds the password", async () => {
    const password = description.cluster.credentials.app ?? "none";
    expect(password.length).toBeGreaterThan(8);
    const main = fileURLToPath(new URL("../../lab/main.ts", import.meta.url));
    const client = spawn(process.execPath, [main, "sql", "write"], {
      env: folders.env,
      stdio: ["pipe", "pipe", "inherit"],
    });
    let output = "";
    client.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    client.stdin.write("SELECT 'asked'; SELECT SLEEP(1);\n");
    const commandLines = (): string[] =>
      listProcesses().map(({ pid }) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, "latin1");
        } catch {
          return "";
        }
      });
    await waitUntil(
      "the client runs",
      () => commandLines().some((line) => line.includes("--defaults-extra-file=")) || "not yet",
      10_000,
    );
    expect(commandLines().filter((line) => line.includes(password))).toEqual([]);
    client.stdin.end();
    expect((await once(client, "exit"))[0]).toBe(0);
    expect(output).toContain("asked");
    expect((await readdir(folders.temporary)).filter((name) => name.startsWith("lab-sql-"))).toEqual([]);
  });

  it("kills mysqld of a replica and reads in its journal that it came back", async () => {
    const name = await replica();
    const { stdout } = await folders.lab("kill", name, "mysqld");
    expect(stdout).toMatch(new RegExp(`^mysqld of ${name}, process \\d+, got SIGKILL`));
    await waitUntil(
      "mysqld is ready a second time",
      async () => {
        const journal = (await folders.lab("logs", name, "mysqld")).stdout;
        return (journal.match(/ready for connections/g)?.length ?? 0) >= 2 || journal.split("\n").slice(-5).join("\n");
      },
      30_000,
    );
    await healthyAgain();
  });

  it("stops a node, sees it stopped, and lets it go on", async () => {
    const name = await replica();
    await folders.lab("stop", name);
    const stopped = await status();
    expect(stopped.nodes.find((node) => node.name === name)?.machine).toBe("stopped");
    expect(stopped.missing.join()).toContain(`${name}: machine stopped`);
    await folders.lab("cont", name);
    await healthyAgain();
  });

  it("cuts the power of a node and boots it again: it returns by itself", async () => {
    const name = await replica();
    expect((await folders.lab("kill", name)).stdout).toContain("lost power");
    expect((await folders.lab("start", name, "--json")).stdout).toContain("boots");
    await healthyAgain();
  });

  it("runs the status action as a runner would", async () => {
    const { exitCode, stdout } = await folders.lab("run", "status", "--input", `cluster-id=lab-${up.lab}`, "--json");
    expect(exitCode).toBe(0);
    const result = JSON.parse(stdout) as { outputs: Record<string, string>; summary: string };
    expect(result.outputs.verdict).toBe("healthy");
    expect(result.summary).toContain(`lab-${up.lab}`);
    const wrong = await folders.lab("run", "status", "--input", "nonsense=1");
    expect(wrong.exitCode).toBe(1);
    expect(wrong.stderr).toContain("nonsense");
  });

  it("is told what is wrong with a command", async () => {
    expect(await folders.lab("explode")).toMatchObject({ exitCode: 2 });
    expect(await folders.lab("kill", "n1", "--nodes", "5")).toMatchObject({ exitCode: 2 });
    const nobody = await folders.lab("kill", "n77");
    expect(nobody).toMatchObject({ exitCode: 1 });
    expect(nobody.stderr).toContain("there are n1, n2, n3");
    const elsewhere = await folders.lab("status", "--lab", "98");
    expect(elsewhere.exitCode).toBe(1);
    expect(elsewhere.stderr).toContain("Lab 98 does not run");
  });

  it("takes it down with its data kept, and finds them in the next one", async () => {
    const before = description;
    const { stdout } = await folders.lab("down");
    expect(stdout).toContain(`Its data stay in ${before.paths.directory}`);
    expect(processesOf(before.run)).toEqual([]);
    await start();
    expect(up.overview.missing).toEqual([]);
    expect(description.cluster.credentials).toEqual(before.cluster.credentials);
    const { stdout: words } = await folders.lab("sql", "write", "SELECT word FROM words WHERE id = 1", "--json");
    expect(JSON.parse(words)).toMatchObject({ rows: [{ word: "one" }] });
    expect(up.overview.record?.timeline).toBe(1);
  });

  it("takes it down, and nothing stays behind", async () => {
    const { run, pid, network, paths } = description;
    expect(processesOf(run).length).toBeGreaterThanOrEqual(6);
    const { exitCode, stdout } = await folders.lab("down", "--json");
    expect(exitCode).toBe(0);
    expect((JSON.parse(stdout) as { seconds: number }).seconds).toBeLessThan(10);
    expect(processesOf(run)).toEqual([]);
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(paths.directory)).toBe(false);
    expect(await readdir(folders.temporary)).toEqual([]);
    for (const port of [4560, 4566]) expect(await listens(`${network}.0.1`, port)).toBe(false);
    expect(await folders.lab("down")).toMatchObject({ exitCode: 0, stdout: "No lab runs.\n" });
  });
});

describe("Ctrl-C", () => {
  it.each([
    ["while the lab is starting", "Starting a lab", 130],
    ["while its cluster is forming", "is forming", 0],
  ])("%s takes everything down", async (_, until, exitCode) => {
    const { child, output } = folders.start();
    const ended = once(child, "exit");
    await waitUntil(`it says "${until}"`, () => output().includes(until) || output(), 60_000);
    child.kill("SIGINT");
    child.kill("SIGINT");
    expect((await ended)[0]).toBe(exitCode);
    const ours = (): string[] =>
      listProcesses()
        .filter(
          ({ pid, environment }) =>
            pid !== process.pid && environment.includes(`PERCONA_ACTIONS_STATE=${folders.env.PERCONA_ACTIONS_STATE}`),
        )
        .map(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " "));
    await waitUntil("no process is left", () => ours().length === 0 || { seen: ours() }, 3000);
    await waitUntil(
      "no folder is left",
      async () => (await readdir(folders.temporary)).length === 0 || { seen: await readdir(folders.temporary) },
      3000,
    );
  });
});
