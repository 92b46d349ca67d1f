import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { isRunning, remoteControls } from "../control.ts";
import { isAlive } from "../machine/processes.ts";
import type { LabDescription } from "../state.ts";
import type { CommandLine } from "./arguments.ts";
import { findLab, runningLabs } from "./find-lab.ts";
import { print, printJson } from "./output.ts";

/** How long a lab may take to go. */
const deadlineMs = 30_000;

/**
 * Asks a lab to go and waits until all of it is gone: its process, its control port, its state.
 *
 * @throws when it is still there at the deadline.
 */
export async function takeDown(description: LabDescription): Promise<void> {
  const { pid, number, paths } = description;
  await remoteControls(description).requestDown();
  const began = performance.now();
  const within = (limitMs: number): boolean => performance.now() - began < limitMs;
  while ((await isRunning(description)) || existsSync(paths.description)) {
    if (!within(deadlineMs)) {
      throw new Error(
        `Lab ${number}, process ${pid}, was asked to go down and is still there after ${deadlineMs / 1000} s; its log is ${paths.daemonLog}. Ending that process (kill ${pid}) ends everything of the lab.`,
      );
    }
    await delay(20);
  }
  // Its process ends now, unless it is one that does other things besides, as a test does.
  while (isAlive(pid) && within(2000)) await delay(20);
}

export async function down(line: CommandLine): Promise<void> {
  if (line.lab === undefined && (await runningLabs()).length === 0) {
    return line.json ? printJson({ down: [] }) : print("No lab runs.");
  }
  const description = await findLab(line.lab);
  const began = performance.now();
  await takeDown(description);
  const seconds = (performance.now() - began) / 1000;
  if (line.json) return printJson({ down: [description.number], seconds });
  print(
    `Lab ${description.number} is down after ${seconds.toFixed(1)} s.${description.keep ? ` Its data stay in ${description.paths.directory}.` : ""}`,
  );
}
