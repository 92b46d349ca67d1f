import { type ChildProcess, fork } from "node:child_process";
import { appendFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { messageOf } from "#contract/failure-reasons.ts";
import { type Lab, startLab } from "../lab.ts";
import type { LabDescription } from "../state.ts";
import type { CommandLine } from "./arguments.ts";

/** What the background process tells the one that started it, until it is ready. */
type Message =
  | { readonly kind: "report"; readonly line: string }
  | { readonly kind: "phase"; readonly phase: string; readonly seconds: number }
  | { readonly kind: "ready"; readonly description: LabDescription }
  | { readonly kind: "failed"; readonly message: string };

/** Told about the start of a lab. */
export interface StartListener {
  report(line: string): void;
  phase(phase: string, seconds: number): void;
}

type LabChoice = Pick<CommandLine, "lab" | "nodes" | "engine" | "keep">;

/**
 * Starts a lab in a process of its own, which outlives this one.
 *
 * @throws what the start failed with; nothing runs then.
 */
export function startDaemon(choice: LabChoice, listener: StartListener): Promise<LabDescription> {
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const args = [
    "daemon",
    ...(choice.nodes === undefined ? [] : [`--nodes=${choice.nodes}`]),
    ...(choice.lab === undefined ? [] : [`--lab=${choice.lab}`]),
    ...(choice.engine === undefined ? [] : [`--engine=${choice.engine}`]),
    ...(choice.keep ? ["--keep"] : []),
  ];
  const child = fork(main, args, { detached: true, stdio: ["ignore", "ignore", "ignore", "ipc"], execArgv: [] });
  return new Promise((resolve, reject) => {
    child.on("message", (message: Message) => {
      if (message.kind === "report") listener.report(message.line);
      else if (message.kind === "phase") listener.phase(message.phase, message.seconds);
      else if (message.kind === "failed") reject(new Error(message.message));
      else {
        letGo(child);
        resolve(message.description);
      }
    });
    child.once("error", reject);
    child.once("exit", (code, signal) =>
      reject(new Error(`The lab's process ended with ${signal ?? `exit code ${code}`} before the lab was up.`)),
    );
  });
}

/** Lets this process end while the child lives on. */
function letGo(child: ChildProcess): void {
  child.removeAllListeners();
  child.disconnect();
  child.unref();
}

/** Appends a line to the log of a lab that is up. */
export function logLine({ paths }: LabDescription, line: string): void {
  try {
    appendFileSync(paths.daemonLog, `${new Date().toISOString()} ${line}\n`);
  } catch {
    // The lab's folder is gone: these are its last words.
  }
}

/** The background process: runs a lab until it is asked to take it down. */
export async function runDaemon(choice: LabChoice): Promise<void> {
  const tell = (message: Message): void => {
    if (process.connected) process.send?.(message);
  };
  const asked = Promise.withResolvers<void>();
  let lab: Lab | undefined;
  const log = (line: string): void => {
    if (lab === undefined) tell({ kind: "report", line });
    else logLine(lab.description, line);
  };
  // Whoever started it went away before it was up: then nobody knows of it.
  process.once("disconnect", () => {
    if (lab === undefined) process.exit(1);
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, asked.resolve);
  process.on("uncaughtException", (error) => {
    log(`uncaught: ${error.stack ?? error.message}`);
    asked.resolve();
  });

  try {
    lab = await startLab({
      ...(choice.nodes === undefined ? {} : { nodes: choice.nodes }),
      ...(choice.engine === undefined ? {} : { engine: choice.engine }),
      keep: choice.keep,
      forPerson: true,
      ...(choice.lab === undefined ? {} : { number: choice.lab }),
      report: log,
      onPhase: (phase, seconds) => tell({ kind: "phase", phase, seconds }),
      onDownRequested: asked.resolve,
    });
  } catch (error) {
    tell({ kind: "failed", message: messageOf(error) });
    process.exitCode = 1;
    if (process.connected) process.disconnect();
    return;
  }
  tell({ kind: "ready", description: lab.description });
  await asked.promise;
  await lab.down();
}
