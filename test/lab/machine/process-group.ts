import { spawn } from "node:child_process";
import { listProcesses, sendSignal } from "./processes.ts";
import type { ControlGroup, Ended } from "./service.ts";

/** Told of the sessions of groups that have members, so that somebody can end them when this process cannot. */
export interface SessionRegistry {
  add(session: number): void;
  remove(session: number): void;
}

/** A process to start in a session of its own. */
export interface GroupCommand {
  readonly argv: readonly [string, ...string[]];
  /** All of its environment; `INVOCATION_ID` is added to it. */
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly invocation: string;
  /** File descriptors or `pipe` for standard output and error. */
  readonly output: readonly [number | "pipe", number | "pipe"];
}

/** A started group; its pipes are there when they were asked for. */
export interface StartedGroup extends ControlGroup {
  readonly stdout: NodeJS.ReadableStream | null;
  readonly stderr: NodeJS.ReadableStream | null;
}

/** systemd's exit code for a program that could not be executed. */
const execFailed = 203;

/**
 * Starts a process and knows its descendants, as systemd knows those of a control group: they are in its session, or carry the
 * `INVOCATION_ID` that it was started with. A descendant escapes only by leaving both behind.
 */
export function startGroup(command: GroupCommand, registry: SessionRegistry): StartedGroup {
  const [program, ...args] = command.argv;
  const marker = `INVOCATION_ID=${command.invocation}`;
  const child = spawn(program, args, {
    cwd: command.workingDirectory,
    env: { ...command.environment, INVOCATION_ID: command.invocation },
    detached: true,
    stdio: ["ignore", ...command.output],
  });
  const pid = child.pid ?? 0;
  if (pid !== 0) registry.add(pid);

  let mainEnded = false;
  let empty = pid === 0;
  const members = (): number[] => {
    // Once empty, the number may be another process's.
    if (empty) return [];
    const living = listProcesses().filter(
      ({ session, environment }) => session === pid || environment.includes(marker),
    );
    if (mainEnded && living.length === 0) {
      empty = true;
      registry.remove(pid);
    }
    return living.map((entry) => entry.pid);
  };

  const ended = new Promise<Ended>((resolve) => {
    child.once("error", () => {
      mainEnded = true;
      resolve({ code: execFailed, signal: null });
    });
    child.once("exit", (code, signal) => {
      mainEnded = true;
      resolve({ code, signal });
    });
  });
  return {
    pid,
    ended,
    members,
    signal: (signal, whom) => {
      for (const member of whom === "all" ? members() : mainEnded ? [] : [pid]) {
        sendSignal(member, signal);
      }
    },
    stdout: child.stdout,
    stderr: child.stderr,
  };
}
