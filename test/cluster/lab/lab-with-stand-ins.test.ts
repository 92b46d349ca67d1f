import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { EC2Client, TerminateInstancesCommand } from "@aws-sdk/client-ec2";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type Lab, startLab } from "#lab/lab.ts";
import { waitUntil } from "#lab/wait.ts";
import { labFolders, listens, processesOf, standInScripts } from "./lab-fixture.ts";

let folders: Awaited<ReturnType<typeof labFolders>>;
let binDir: string;
beforeAll(async () => {
  folders = await labFolders();
  binDir = await standInScripts(folders.folder);
  process.env.PERCONA_ACTIONS_STATE = folders.env.PERCONA_ACTIONS_STATE;
  process.env.TMPDIR = folders.temporary;
});
afterAll(() => folders.dispose());

const running = (lab: Lab, name: string): boolean =>
  lab.machine(name).machine.unitState("percona-agent")?.active === "active";

describe("two labs on one machine", () => {
  let one: Lab;
  let other: Lab;
  beforeAll(async () => {
    one = await startLab({ binDir });
    other = await startLab({ binDir, clusterId: "other" });
  });
  afterAll(async () => {
    await one?.down();
    await other?.down();
  });

  it("have different addresses, and nodes of their own", async () => {
    expect(other.network).not.toBe(one.network);
    for (const lab of [one, other]) {
      const nodes = await lab.nodes();
      expect(nodes.map(({ name }) => name)).toEqual(["n1", "n2", "n3"]);
      for (const { address } of nodes) expect(address.startsWith(`${lab.network}.`)).toBe(true);
    }
  });

  it("boot each node by its bootstrap, which starts the rest", async () => {
    await one.waitUntil(
      "all agents run",
      () => ["n1", "n2", "n3"].every((name) => running(one, name)) || "not yet",
      20_000,
    );
    const { "percona-bootstrap": journal } = await one.logs("n1");
    expect(journal).toContain(`bootstrapped ${one.aws().region}`);
  });

  it("say what is missing when a wait is in vain, with the state of the cluster", async () => {
    await expect(one.waitHealthy(0)).rejects.toThrow(/no topology record yet[\s\S]*NODE +INSTANCE/);
  });

  it("kill a node without a trace of the other nodes, and boot it again", async () => {
    const { machine, kill, start } = one.machine("n2");
    await kill();
    expect(machine.processes()).toEqual([]);
    expect(running(one, "n1") && running(one, "n3")).toBe(true);
    await start();
    await one.waitUntil("its agent runs", () => running(one, "n2") || "not yet", 20_000);
  });

  it("lose a node's processes and disk when EC2 terminates it, and get another for it", async () => {
    const { instanceId } = await one.node("n1");
    const { layout } = one.machine("n1").machine;
    const before = one.machine("n1").machine.processes();
    expect(before.length).toBeGreaterThan(0);
    const ec2 = new EC2Client(one.aws());
    await ec2.send(new TerminateInstancesCommand({ InstanceIds: [instanceId] }));
    ec2.destroy();
    await one.waitUntil("its machine is gone", () => !existsSync(layout.directory) || "its disk is there", 5000);
    const left = processesOf(one.description.run).filter((pid) => before.includes(pid));
    expect(left).toEqual([]);
    await one.waitUntil(
      "n4 runs",
      async () =>
        (await one.nodes()).some(({ name }) => name === "n4") || { seen: (await one.nodes()).map(({ name }) => name) },
      20_000,
    );
  });

  it("go without leaving anything", async () => {
    const { run, paths, number } = other.description;
    expect(processesOf(run).length).toBeGreaterThan(0);
    const began = performance.now();
    await other.down();
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(processesOf(run)).toEqual([]);
    expect(existsSync(paths.directory)).toBe(false);
    expect((await readdir(folders.temporary)).filter((name) => name.startsWith(`lab${number}-`))).toEqual([]);
    for (const port of [4560, 4566]) expect(await listens(`${other.network}.0.1`, port)).toBe(false);
    expect(await listens(`${one.network}.0.1`, 4560)).toBe(true);
    await other.down();
  });
});

describe("a lab whose process gets SIGKILL", () => {
  it("leaves no process, port or folder behind after 3 s", async () => {
    const script = join(folders.folder, "doomed.ts");
    const lab = new URL("../../lab/lab.ts", import.meta.url).href;
    await writeFile(
      script,
      `import { startLab } from ${JSON.stringify(lab)};
const lab = await startLab({ binDir: ${JSON.stringify(binDir)} });
await lab.waitUntil("all agents run", () => ["n1", "n2", "n3"].every((n) => lab.machine(n).machine.unitState("percona-agent")?.active === "active") || "not yet", 20000);
console.log(JSON.stringify({ ...lab.description, emulators: Object.values(lab.cloud.processes) }));
`,
    );
    const child = spawn(process.execPath, [script], { env: folders.env, stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    await waitUntil("the lab runs", () => output.includes("\n") || output, 60_000);
    const { run, network, paths, number, emulators } = JSON.parse(output) as Lab["description"] & {
      emulators: number[];
    };
    // Three agents with a child each, and two emulators. A unit is active before its program has started its child.
    let pids: number[] = [];
    await waitUntil(
      "everything that the lab starts runs",
      () => {
        pids = [...processesOf(run), ...emulators];
        return pids.length >= 8 || { seen: pids };
      },
      10_000,
    );
    child.kill("SIGKILL");
    await once(child, "exit");
    const killed = performance.now();
    await waitUntil(
      "all processes are gone",
      () => {
        const left = [...processesOf(run), ...pids.filter((pid) => existsSync(`/proc/${pid}`))];
        return left.length === 0 || { seen: left };
      },
      3000,
    );
    await waitUntil(
      "all folders are gone",
      async () => {
        const left = (await readdir(folders.temporary)).filter((name) => name.startsWith(`lab${number}-`));
        return (left.length === 0 && !existsSync(paths.directory)) || { seen: left };
      },
      3000,
    );
    expect(performance.now() - killed).toBeLessThan(3000);
    for (const port of [4560, 4566]) expect(await listens(`${network}.0.1`, port)).toBe(false);
  });
});
