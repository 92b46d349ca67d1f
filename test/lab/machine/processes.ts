import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** One living process. */
export interface ProcessEntry {
  readonly pid: number;
  readonly session: number;
  /** One letter: `R`, `S`, `T` for stopped, … (proc(5)). */
  readonly state: string;
  /** Variables it was started with, in the form `NAME=value`; empty for another user's process. */
  readonly environment: readonly string[];
}

/** The processes of this machine that this user may look into, zombies left out. */
export function listProcesses(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = parseStat(readFileSync(`/proc/${name}/stat`, "latin1"));
      if (stat.state === "Z" || stat.state === "X") continue;
      const environment = readFileSync(`/proc/${name}/environ`, "latin1").split("\0");
      entries.push({ pid: Number(name), ...stat, environment });
    } catch {
      // It ended meanwhile, or belongs to somebody else.
    }
  }
  return entries;
}

/** Whether a process runs; one that has ended and that nobody has waited for does not. */
export function isAlive(pid: number): boolean {
  try {
    return !["Z", "X"].includes(parseStat(readFileSync(`/proc/${pid}/stat`, "latin1")).state);
  } catch {
    return false;
  }
}

/** State and session of a line of /proc/PID/stat; the name in parentheses may hold anything. */
export function parseStat(text: string): { state: string; session: number } {
  const [state = "", , , session = ""] = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state, session: Number(session) };
}

/** Proportional set size of processes, bytes: memory that they share is counted once. Processes that have ended count nothing. */
export function memoryOf(pids: readonly number[]): number {
  const kilobytes = pids.map((pid) => {
    try {
      return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1] ?? 0);
    } catch {
      return 0;
    }
  });
  return kilobytes.reduce((sum, each) => sum + each, 0) * 1024;
}

/** Sends a signal; a process that has ended meanwhile is no error. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/**
 * SIGKILL to all that `select` finds, again and again until it finds none: a process may fork while it is being killed.
 *
 * @throws naming the processes that are still there after 10 s, for example in an uninterruptible wait for a disk.
 */
export async function killAll(select: () => readonly number[]): Promise<void> {
  await signalUntilNone(select, "SIGKILL", "ended");
}

/** SIGSTOP to all that `select` finds, until it finds none: it must leave out those that have stopped. */
export async function stopAll(select: () => readonly number[]): Promise<void> {
  await signalUntilNone(select, "SIGSTOP", "stopped");
}

async function signalUntilNone(select: () => readonly number[], signal: NodeJS.Signals, wanted: string): Promise<void> {
  const began = performance.now();
  for (let pids = select(); pids.length > 0; pids = select()) {
    if (performance.now() - began > 10_000) {
      throw new Error(`Processes ${pids.join(", ")} got ${signal} for 10 s and have not ${wanted}.`);
    }
    for (const pid of pids) sendSignal(pid, signal);
    await delay(3);
  }
}
