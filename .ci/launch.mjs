// Runs one of this project's TypeScript files with the project's own Node 24, on a machine that has Node 20 or newer:
//
//     node .ci/launch.mjs test/lab/main.ts up --nodes 5
//
// It installs the dependencies when they are missing or others than package-lock.json says. Plain JavaScript, because Node 20
// does not run TypeScript.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { constants, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const oldestNode = 20;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, "node_modules");
const projectNode = join(modules, "node", "bin", "node");
const stamp = join(modules, ".percona-actions-lock.sha256");

/** @type {NodeJS.Signals[]} */
const forwarded = ["SIGINT", "SIGTERM", "SIGHUP"];

/** @param {string} line */
const say = (line) => process.stderr.write(`${line}\n`);

/** @param {string} program */
const answers = (program) => spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0;

/** What every command needs before any code of this project can run, and how to get it. The lab itself names the rest. */
function missingPrerequisites() {
  const missing = [];
  const [major] = process.versions.node.split(".");
  if (Number(major) < oldestNode) {
    missing.push(`Node ${oldestNode} or newer (this is ${process.versions.node}): https://nodejs.org/en/download`);
  }
  if (!answers("npm")) missing.push("npm: it comes with Node; on Debian: apt-get install npm");
  if (!answers("python3")) missing.push("Python 3 with venv: apt-get install python3 python3-venv");
  return missing;
}

/** Whether what is installed is what package-lock.json says. */
function isInstalled() {
  if (!existsSync(projectNode)) return false;
  const digest = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return true;
  if (!hasEveryLockedPackage()) return false;
  writeFileSync(stamp, digest);
  return true;
}

/**
 * Whether npm's own record of what it installed has every package of the lock file in its version, as after `npm install NAME`,
 * so that nothing is installed twice.
 */
function hasEveryLockedPackage() {
  /** @param {string} path */
  const packagesOf = (path) => JSON.parse(readFileSync(path, "utf8")).packages;
  const record = join(modules, ".package-lock.json");
  if (!existsSync(record)) return false;
  let installed;
  try {
    installed = packagesOf(record);
  } catch {
    // Cut short: npm was interrupted.
    return false;
  }
  return Object.entries(packagesOf(join(root, "package-lock.json")))
    .filter(([path, wanted]) => path !== "" && (!wanted.optional || path in installed))
    .every(([path, wanted]) => installed[path]?.version === wanted.version);
}

/**
 * Runs `work` while no other launcher of this checkout does. The lock is a socket that this process listens on, so it ends with
 * the process; one that waits holds a connection to it and tries again when that closes.
 *
 * @param {() => Promise<void>} work
 */
async function alone(work) {
  const name = `percona-actions-${createHash("sha256").update(root).digest("hex").slice(0, 16)}`;
  const onLinux = process.platform === "linux";
  // Linux keeps sockets whose name begins with a zero byte outside the file system: nothing stale can be left.
  const path = onLinux ? `\0${name}` : join(tmpdir(), `${name}.sock`);
  for (let told = false; ; told = true) {
    const waiting = new Set();
    const server = createServer((connection) => waiting.add(connection.on("error", () => {})));
    const taken = await new Promise((resolve, reject) => {
      server.once("error", (error) => (error.code === "EADDRINUSE" ? resolve(true) : reject(error)));
      server.listen(path, () => resolve(false));
    });
    if (!taken) {
      try {
        return await work();
      } finally {
        server.close();
        for (const connection of waiting) connection.destroy();
      }
    }
    if (!told) say("Another command is installing the dependencies of this checkout; waiting for it.");
    await new Promise((resolve) => {
      connect(path)
        .once("close", resolve)
        .once("error", (error) => {
          if (!onLinux && error.code === "ECONNREFUSED") unlinkSync(path);
        });
    });
  }
}

/**
 * @param {string[]} args
 * @returns {Promise<{ code: number | null, output: string }>}
 */
function npm(args) {
  return new Promise((resolve, reject) => {
    const child = spawn("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
      });
    }
    /** @param {NodeJS.Signals} signal */
    const pass = (signal) => child.kill(signal);
    for (const signal of forwarded) process.on(signal, pass);
    child.once("error", reject).once("close", (code) => {
      for (const signal of forwarded) process.off(signal, pass);
      resolve({ code, output });
    });
  });
}

async function installDependencies() {
  if (isInstalled()) return;
  const began = Date.now();
  const seconds = () => Math.round((Date.now() - began) / 1000);
  say("Installing the dependencies (npm ci, about half a minute) …");
  const ticking = setInterval(() => say(`  still installing, ${seconds()} s`), 10_000);
  try {
    let done = await npm(["ci"]);
    // npm 11 refuses, before it touches anything, when the registry lacks packages that are for other platforms only. This
    // installs the same locked versions and writes neither package.json nor the lock file; what is there is compared below.
    if (done.code !== 0 && done.output.includes("EUSAGE")) done = await npm(["install", "--no-save"]);
    if (done.code !== 0) {
      const said = done.output.trim().split("\n").slice(-20).join("\n");
      throw new Error(
        `npm ended with exit code ${done.code}, so node_modules is incomplete. Run the same command again once the cause is gone. npm said:\n${said}`,
      );
    }
  } finally {
    clearInterval(ticking);
  }
  if (!existsSync(projectNode)) {
    throw new Error(
      `npm succeeded, but ${projectNode} is not there: the package "node" fetches it in an install script. Allow install scripts (npm config get ignore-scripts), remove node_modules, and run the same command again.`,
    );
  }
  if (!isInstalled()) {
    throw new Error(
      "npm succeeded, but what it installed is not what package-lock.json says. If package.json was edited, run `npm install` and commit the lock file; otherwise remove node_modules and run the same command again.",
    );
  }
  say(`Dependencies installed in ${seconds()} s.`);
}

/**
 * Runs the program in the foreground: signals go to it, its exit is ours.
 *
 * @param {string[]} argv
 */
function hand(argv) {
  const child = spawn(projectNode, argv, { stdio: "inherit" });
  for (const signal of forwarded) process.on(signal, () => child.kill(signal));
  child.once("error", (error) => {
    say(`${projectNode} could not be started: ${error.message}`);
    process.exitCode = 1;
  });
  child.once("exit", (code, signal) => {
    process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
  });
}

/** @param {string[]} argv */
async function launch([script, ...rest]) {
  if (script === undefined) throw new Error("usage: node .ci/launch.mjs FILE.ts [ARGUMENT…]");
  if (!isInstalled()) {
    const missing = missingPrerequisites();
    if (missing.length > 0) {
      const lines = missing.map((line) => `  - ${line}`).join("\n");
      throw new Error(`Missing on this machine; nothing was changed:\n${lines}\nThen run the same command again.`);
    }
    await alone(installDependencies);
  }
  hand([join(root, script), ...rest]);
}

try {
  await launch(process.argv.slice(2));
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
