import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, chmod, mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { accountNames } from "#contract/credentials.ts";
import { labOrchestratorConfig } from "#lab/orchestrator.ts";
import { makeOrchestratorClient, type OrchestratorClient } from "#node/lib/orchestrator/client.ts";
import { type OrchestratorConfigFile, orchestratorConfigFile } from "#node/lib/orchestrator/config-file.ts";
import { credentials } from "../mysql/cluster-of-servers.ts";
import type { TestServer } from "../mysql/server-fixture.ts";

/** One run of the hook. */
export interface RanHook {
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
}

/** One Orchestrator, as a node runs it, with production's template. */
export interface RealOrchestrator {
  readonly address: string;
  readonly config: OrchestratorConfigFile;
  readonly configPath: string;
  readonly client: OrchestratorClient;
  start(): Promise<void>;
  /** SIGKILL, as of a node that loses its power. */
  kill(): Promise<void>;
  /** Has its hook veto failovers, or not any more. */
  veto(on: boolean): Promise<void>;
  /** What it wrote. */
  log(): Promise<string>;
  /** The hooks that ran, with the variables that they were given. */
  hooks(): Promise<RanHook[]>;
}

/** A hook that notes what it was given, and obeys the file `veto` beside it. It needs nothing but Node. */
const notingHook = (folder: string): string => `#!${process.execPath}
const { appendFileSync, existsSync } = require("node:fs");
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("ORC_")));
const name = process.argv[2];
appendFileSync(${JSON.stringify(join(folder, "hooks.log"))}, JSON.stringify({ name, env }) + "\\n");
process.exit(name === "PreFailover" && existsSync(${JSON.stringify(join(folder, "veto"))}) ? 1 : 0);
`;

/**
 * Lays out an Orchestrator at an address; it is not started yet.
 *
 * @param password of its API and of its MySQL account.
 */
export const layOutOrchestrator = async (options: {
  readonly program: string;
  readonly folder: string;
  readonly address: string;
  readonly password: string;
  readonly raftNodes: readonly string[];
  /** Port of the mysqld at its address, when it is not the usual one. */
  readonly mysqlPort?: number;
  /** Settings other than the template's. */
  readonly settings?: Readonly<Record<string, unknown>>;
}): Promise<RealOrchestrator> => {
  const { program, address, password, raftNodes } = options;
  const folder = join(options.folder, address);
  await mkdir(folder, { recursive: true });
  const hook = join(folder, "hook");
  await writeFile(hook, notingHook(folder));
  await chmod(hook, 0o755);
  const configPath = join(folder, "orchestrator.conf.json");
  const text = await labOrchestratorConfig({
    address,
    folder,
    hook,
    ...(options.mysqlPort === undefined ? {} : { mysqlPort: options.mysqlPort }),
  });
  await writeFile(configPath, JSON.stringify({ ...JSON.parse(text), ...options.settings }), { mode: 0o600 });
  const config = orchestratorConfigFile(configPath);
  await config.write({ raftNodes, password });
  const logPath = join(folder, "log");
  let running: ChildProcess | undefined;
  return {
    address,
    config,
    configPath,
    client: makeOrchestratorClient({
      address,
      user: accountNames.orchestrator,
      password: async () => password,
      timeoutMs: 15_000,
    }),
    start: async () => {
      await appendFile(logPath, "");
      const log = await open(logPath, "a");
      running = spawn(program, ["--config", configPath, "http"], {
        cwd: folder,
        stdio: ["ignore", log.fd, log.fd],
      });
      await once(running, "spawn");
      await log.close();
    },
    kill: async () => {
      if (running?.exitCode !== null || running.signalCode !== null) return;
      const ended = once(running, "exit");
      running.kill("SIGKILL");
      await ended;
    },
    veto: (on) => (on ? writeFile(join(folder, "veto"), "") : rm(join(folder, "veto"), { force: true })),
    log: () => readFile(logPath, "utf8"),
    hooks: async () => {
      const lines = await readFile(join(folder, "hooks.log"), "utf8").catch(() => "");
      return lines
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as RanHook);
    },
  };
};

/** Lays out an Orchestrator beside each of these servers, all of them peers; none is started yet. */
export const layOutBeside = (
  servers: readonly Pick<TestServer, "address" | "port">[],
  options: {
    readonly program: string;
    readonly folder: string;
    readonly settings?: Readonly<Record<string, unknown>>;
  },
): Promise<RealOrchestrator[]> =>
  Promise.all(
    servers.map(({ address, port }) =>
      layOutOrchestrator({
        ...options,
        address,
        password: credentials.orchestrator,
        raftNodes: servers.map((server) => server.address),
        mysqlPort: port,
        // These servers have different ports, which only SHOW REPLICAS tells.
        settings: { DiscoverByShowSlaveHosts: true, ...options.settings },
      }),
    ),
  );
