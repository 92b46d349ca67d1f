import { writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type SessionRegistry, startGroup } from "./process-group.ts";
import { killAll } from "./processes.ts";

/** A shell script for a machine, as its SSM agent gets one. */
export interface Script {
  readonly script: readonly string[];
  /** Added to the machine's environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface ScriptResult {
  /** `null` when a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

export interface ScriptHost {
  readonly environment: Readonly<Record<string, string>>;
  /** Where the script is written while it runs. */
  readonly folder: string;
  newInvocation(): string;
  readonly sessions: SessionRegistry;
}

/** No more than this is kept of each stream; AWS keeps far less. */
const keptCharacters = 1_000_000;

/** How long output may come after the end of the shell, from a child that outlived it. */
const drainMs = 500;

/**
 * Runs a script the way the SSM agent does: written to a file, run by `sh -c FILE` so that its first line may name another
 * interpreter. What it leaves in the background is killed; long work belongs into a unit of its own (systemd-run).
 */
export async function runScript(script: Script, host: ScriptHost): Promise<ScriptResult> {
  const invocation = host.newInvocation();
  const file = join(host.folder, `_script-${invocation}.sh`);
  // Synchronous: a process that is forked while the file is open for writing would make its execution fail (ETXTBSY).
  writeFileSync(file, `${script.script.join("\n")}\n`, { mode: 0o700 });
  const group = startGroup(
    {
      argv: ["sh", "-c", file],
      environment: { ...host.environment, ...script.environment },
      workingDirectory: "/",
      invocation,
      output: ["pipe", "pipe"],
    },
    host.sessions,
  );
  const stdout = collected(group.stdout);
  const stderr = collected(group.stderr);

  let timedOut = false;
  const end = (): void => {
    killAll(group.members).catch(() => {});
  };
  const timer = setTimeout(() => {
    timedOut = true;
    end();
  }, script.timeoutMs);
  script.signal.addEventListener("abort", end, { once: true });
  if (script.signal.aborted) end();
  try {
    const { code } = await group.ended;
    await Promise.race([Promise.all([stdout.ended, stderr.ended]), delay(drainMs, undefined, { ref: false })]);
    await killAll(group.members);
    return { exitCode: code, stdout: stdout.text(), stderr: stderr.text(), timedOut };
  } finally {
    clearTimeout(timer);
    script.signal.removeEventListener("abort", end);
    await rm(file, { force: true });
  }
}

function collected(stream: NodeJS.ReadableStream | null): { text(): string; ended: Promise<void> } {
  let text = "";
  const ended = new Promise<void>((resolve) => {
    if (stream === null) return resolve();
    stream.setEncoding("utf8");
    stream.on("data", (part: string) => {
      if (text.length < keptCharacters) text += part.slice(0, keptCharacters - text.length);
    });
    stream.once("end", resolve).once("error", () => resolve());
  });
  return { text: () => text, ended };
}
