import { randomUUID } from "node:crypto";
import { appendFileSync, closeSync, openSync } from "node:fs";
import { mkdir, rm, symlink } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command, CommandResult } from "./command.ts";
import { journalPath, type MachineLayout } from "./layout.ts";
import { type SessionRegistry, startGroup } from "./process-group.ts";
import { killAll, listProcesses, type ProcessEntry, sendSignal, stopAll } from "./processes.ts";
import { runScript, type Script, type ScriptResult } from "./script.ts";
import type { ServiceState } from "./service.ts";
import { createSystemd, type Systemd } from "./systemd.ts";
import { listenForCommands, type SystemdSocket, systemdSocketVariable } from "./systemd-socket.ts";
import { type MachineTimers, machineTimers } from "./timers.ts";
import type { UnitDefinition } from "./unit.ts";

/** `stopped`: every process has got SIGSTOP and the service manager's timers are halted. */
export type Power = "on" | "off" | "stopped";

export interface MachineOptions {
  readonly layout: MachineLayout;
  readonly units: readonly UnitDefinition[];
  /** Units that are started at boot. */
  readonly bootUnits: readonly string[];
  /** Writes what the machine finds on its disk at every boot; its folders are there. */
  readonly provision: () => Promise<void>;
  /** All variables of the machine's processes; the machine puts its own programs first on `PATH`. */
  readonly environment: Readonly<Record<string, string>>;
  /** Marks the machine's processes: a variable's name and value that no other machine has. */
  readonly owner: { readonly variable: string; readonly value: string };
  readonly sessions: SessionRegistry;
}

/** One emulated machine. Its operations are executed one after the other. */
export interface Machine {
  readonly layout: MachineLayout;
  power(): Power;
  /** Process ids of all that runs on it. */
  processes(): number[];
  /** Switches it on. Does nothing when it is on. */
  boot(): Promise<void>;
  /** A power cut: every process gets SIGKILL; the disk stays. */
  kill(): Promise<void>;
  /** Halts every process with SIGSTOP, and the service manager's timers. */
  stop(): Promise<void>;
  /** Lets a stopped machine go on. */
  cont(): Promise<void>;
  /** Kills it and removes its disk. */
  destroy(): Promise<void>;
  /** Signal to the main process of a unit; undefined when it has none, else the process id. */
  signalUnit(unit: string, signal: NodeJS.Signals): number | undefined;
  unitState(unit: string): ServiceState | undefined;
  /** Executes a systemctl command as a process of the machine would. */
  systemctl(...args: string[]): Promise<CommandResult>;
  /** Runs a script as root of the machine. */
  run(script: Script): Promise<ScriptResult>;
}

/** What exists from boot until the power goes. */
interface Running {
  readonly systemd: Systemd;
  readonly timers: MachineTimers;
  readonly socket: SystemdSocket;
}

/** Makes a machine that is off. */
export function createMachine(options: MachineOptions): Machine {
  const { layout } = options;
  const environment = machineEnvironment(options);
  const marker = `${options.owner.variable}=${options.owner.value}`;
  const sessions = new Set<number>();
  let running: Running | undefined;
  let stopped = false;
  /** Resolves when the machine is not stopped. */
  let going = Promise.withResolvers<void>();
  going.resolve();

  const registry: SessionRegistry = {
    add: (session) => {
      sessions.add(session);
      options.sessions.add(session);
    },
    remove: (session) => {
      sessions.delete(session);
      options.sessions.remove(session);
    },
  };
  const own = (): ProcessEntry[] =>
    listProcesses().filter(
      ({ session, environment: variables }) => sessions.has(session) || variables.includes(marker),
    );
  const processes = (): number[] => own().map(({ pid }) => pid);

  const note = (unit: string, line: string): void => {
    appendFileSync(journalPath(layout, unit), `-- ${new Date().toISOString()} ${unit}: ${line}\n`);
  };

  const launch = (unit: UnitDefinition, invocation: string) => {
    const journal = openSync(journalPath(layout, unit.name), "a");
    try {
      return startGroup(
        {
          argv: unit.argv,
          environment: { ...environment, ...unit.environment },
          workingDirectory: unit.workingDirectory,
          invocation,
          output: [journal, journal],
        },
        registry,
      );
    } finally {
      closeSync(journal);
    }
  };

  const boot = async (): Promise<void> => {
    if (running !== undefined) return;
    await prepareDisk(layout);
    await options.provision();
    const timers = machineTimers();
    const systemd = createSystemd(options.units, { timers, launch, newInvocation, note });
    // A stopped machine answers nobody: commands that reach it wait until it goes on.
    const execute = async (command: Command): Promise<CommandResult> => {
      await going.promise;
      return systemd.command(command);
    };
    const socket = await listenForCommands(layout.systemdSocket, execute);
    running = { systemd, timers, socket };
    for (const unit of options.bootUnits) void systemd.service(unit)?.start();
  };

  const kill = async (): Promise<void> => {
    const before = running;
    running = undefined;
    before?.systemd.cutPower();
    before?.timers.cancelAll();
    stopped = false;
    await killAll(processes);
    for (const session of [...sessions]) registry.remove(session);
    going.resolve();
    await before?.socket.close();
  };

  const stop = async (): Promise<void> => {
    if (running === undefined || stopped) return;
    stopped = true;
    going = Promise.withResolvers();
    running.timers.halt();
    await stopAll(() =>
      own()
        .filter(({ state }) => state !== "T")
        .map(({ pid }) => pid),
    );
  };

  const cont = async (): Promise<void> => {
    if (!stopped) return;
    stopped = false;
    for (const pid of processes()) sendSignal(pid, "SIGCONT");
    running?.timers.go();
    going.resolve();
  };

  const destroy = async (): Promise<void> => {
    await kill();
    await Promise.all([layout.directory, layout.sockets].map((path) => rm(path, { recursive: true, force: true })));
  };

  const oneByOne = queue();
  return {
    layout,
    power: () => (running === undefined ? "off" : stopped ? "stopped" : "on"),
    processes,
    boot: () => oneByOne(boot),
    kill: () => oneByOne(kill),
    stop: () => oneByOne(stop),
    cont: () => oneByOne(cont),
    destroy: () => oneByOne(destroy),
    signalUnit: (unit, signal) => {
      const service = running?.systemd.service(unit);
      const pid = service?.state().mainPid ?? 0;
      if (service === undefined || pid === 0) return undefined;
      service.signal(signal, "main");
      return pid;
    },
    unitState: (unit) => running?.systemd.service(unit)?.state(),
    systemctl: async (...args) => {
      if (running === undefined) throw new Error(`The machine in ${layout.directory} is off.`);
      return running.systemd.command({ argv: ["systemctl", ...args], environment });
    },
    run: async (script) => {
      if (running === undefined) throw new Error(`The machine in ${layout.directory} is off.`);
      return runScript(script, { environment, folder: layout.temporary, newInvocation, sessions: registry });
    },
  };
}

const newInvocation = (): string => randomUUID().replaceAll("-", "");

function machineEnvironment({ layout, environment, owner }: MachineOptions): Record<string, string> {
  return {
    LANG: "C.UTF-8",
    ...environment,
    PATH: [layout.bin, environment.PATH].filter((part) => part !== undefined).join(delimiter),
    HOME: layout.home,
    TMPDIR: layout.temporary,
    [systemdSocketVariable]: layout.systemdSocket,
    [owner.variable]: owner.value,
  };
}

/** Makes the folders that are missing, and what a boot begins without: sockets and temporary files. */
async function prepareDisk(layout: MachineLayout): Promise<void> {
  await Promise.all(
    [layout.sockets, layout.temporary, layout.bin].map((path) => rm(path, { recursive: true, force: true })),
  );
  const folders = [
    layout.bin,
    layout.optionFolder,
    layout.data,
    layout.state,
    layout.log,
    layout.temporary,
    layout.home,
  ];
  for (const folder of folders) await mkdir(folder, { recursive: true });
  await mkdir(layout.sockets, { recursive: true, mode: 0o700 });
  const client = fileURLToPath(new URL("systemd-client.pl", import.meta.url));
  for (const program of ["systemctl", "systemd-run"]) await symlink(client, join(layout.bin, program));
}

/** Runs tasks one after the other; one that fails does not hold up the next. */
function queue(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const result = last.then(task);
    last = result.catch(() => {});
    return result;
  };
}
