import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { takeLock } from "#lab/cache/lock.ts";

const deadlineMs = 20_000;

/**
 * A set-up in a process of its own. Its build notes itself in `builds`, then a child of it writes into its build folder, making
 * that anew when it is gone, until the file `gate` exists. It prints the entry as JSON, and progress on stderr.
 */
const setUp = (cache: string): string => `
  import { appendFile, writeFile } from "node:fs/promises";
  import { ensureEntry } from "${cache}/entry.ts";
  import { takeLock } from "${cache}/lock.ts";
  import { run } from "${cache}/run.ts";
  const [root, gate, builds] = process.argv.slice(1);
  const report = ({ phase, state }) => process.stderr.write(state + " " + phase + "\\n");
  const tools = { root, report, takeLock, run };
  const child = 'exec 2>/dev/null; echo $$ >"$1/child"; until [ -e "$2" ]; do mkdir -p "$1"; echo more >>"$1/content"; sleep 0.02; done';
  const entry = await ensureEntry({
    name: "thing",
    key: "thing",
    build: async (directory) => {
      await appendFile(builds, process.pid + " " + directory + "\\n");
      await run(["sh", "-c", child, "child", directory, gate]);
      await writeFile(directory + "/program", "complete");
      return { version: "1", witnesses: ["program"] };
    },
  }, tools);
  process.stdout.write(JSON.stringify(entry));
`;

interface SetUp {
  readonly process: ChildProcess;
  /** What it has printed so far. */
  said(): { stdout: string; stderr: string };
  readonly ended: Promise<unknown>;
}

let folder: string;
let started: SetUp[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cache-twice-"));
  started = [];
});
afterEach(async () => {
  await writeFile(join(folder, "gate"), "");
  for (const { process, ended } of started) {
    process.kill("SIGKILL");
    await ended;
  }
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

function start(): SetUp {
  const program = setUp(new URL("../lab/cache", import.meta.url).href);
  const paths = [join(folder, "root"), join(folder, "gate"), join(folder, "builds")];
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program, ...paths], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said.stderr += text;
  });
  const running: SetUp = { process: child, said: () => said, ended: once(child, "close") };
  started.push(running);
  return running;
}

async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const end = performance.now() + deadlineMs;
  while (performance.now() < end) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    await delay(20);
  }
  const said = started.map((one) => JSON.stringify(one.said())).join("\n");
  throw new Error(`Not seen within ${deadlineMs} ms: ${what}. The set-ups said:\n${said}`);
}

const builds = async (): Promise<{ pid: number; directory: string }[]> => {
  const text = await readFile(join(folder, "builds"), "utf8").catch(() => "");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [pid = "", directory = ""] = line.split(" ");
      return { pid: Number(pid), directory };
    });
};

const exists = (path: string): Promise<true | undefined> =>
  access(path).then(
    () => true as const,
    () => undefined,
  );

/** Whether the process has gone; one that its parent has not yet collected counts as gone. */
const gone = async (pid: number): Promise<boolean> => {
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return status === undefined || /\) [ZX] /.test(status);
};

/** Both set-ups are there: one builds, the other waits for it. */
async function builderAndWaiter(): Promise<{ builder: SetUp; waiter: SetUp; childPid: number; directory: string }> {
  const pair = [start(), start()];
  const { pid, directory } = await until("a build", async () => (await builds())[0]);
  const builder = pair.find((one) => one.process.pid === pid);
  const waiter = pair.find((one) => one.process.pid !== pid);
  if (builder === undefined || waiter === undefined) throw new Error(`Process ${pid} builds, and it is none of ours.`);
  await until("a set-up that waits", () => /begun wait for process/.test(waiter.said().stderr));
  const childPid = await until("the child's pid", async () => {
    const text = await readFile(join(directory, "child"), "utf8").catch(() => "");
    return text.endsWith("\n") ? Number(text) : undefined;
  });
  return { builder, waiter, childPid, directory };
}

describe("two set-ups of the cache at once", () => {
  it("build once, and both get the same entry", async () => {
    const { builder, waiter, directory } = await builderAndWaiter();
    await writeFile(join(folder, "gate"), "");
    await Promise.all([builder.ended, waiter.ended]);
    expect([builder.process.exitCode, waiter.process.exitCode]).toEqual([0, 0]);
    expect(JSON.parse(builder.said().stdout)).toMatchObject({ version: "1", directory });
    expect(JSON.parse(waiter.said().stdout)).toEqual(JSON.parse(builder.said().stdout));
    expect(await builds()).toHaveLength(1);
  });

  it("finish when the one that builds is killed: the other discards what it left and builds", async () => {
    const { builder, waiter, childPid, directory } = await builderAndWaiter();
    builder.process.kill("SIGKILL");
    await until("the end of the killed builder's child", () => gone(childPid));
    await until("the second build", async () => (await builds())[1]);
    await until("the removal of the first build", async () => !(await exists(directory)));
    expect(await exists(join(folder, "root", "thing", "complete.json"))).toBeUndefined();
    await writeFile(join(folder, "gate"), "");
    await waiter.ended;
    const entry = JSON.parse(waiter.said().stdout) as { directory: string };
    expect(waiter.process.exitCode).toBe(0);
    expect(entry.directory).not.toBe(directory);
    expect(await readFile(join(entry.directory, "program"), "utf8")).toBe("complete");
    const names = await readdir(join(folder, "root", "thing"));
    expect(names.filter((name) => name.startsWith("build-"))).toHaveLength(1);
  });

  it("start again after a kill when nobody waited", async () => {
    const first = start();
    const { directory } = await until("a build", async () => (await builds())[0]);
    first.process.kill("SIGKILL");
    await first.ended;
    await writeFile(join(folder, "gate"), "");
    const second = start();
    await second.ended;
    expect(second.process.exitCode).toBe(0);
    expect((JSON.parse(second.said().stdout) as { directory: string }).directory).not.toBe(directory);
    expect(await exists(directory)).toBeUndefined();
  });
});

describe("the lock", () => {
  it("excludes until it is released, and names its holder to the one that waits", async () => {
    const file = join(folder, "lock");
    const first = await takeLock(file, () => {
      throw new Error("nobody held it");
    });
    const order: string[] = [];
    let holder: string | undefined;
    const second = takeLock(file, (seen) => {
      holder = seen;
    }).then((lock) => {
      order.push("second took");
      return lock;
    });
    expect(await until("the one that waits", () => holder)).toBe(String(process.pid));
    order.push("first releases");
    await first.release();
    await (await second).release();
    expect(order).toEqual(["first releases", "second took"]);
  });

  it("says what to do where it cannot be taken", async () => {
    await expect(takeLock("/proc/self/lock", () => {})).rejects.toThrow(/could not be taken[\s\S]*Nothing was changed/);
  });
});
