import { isRunning, remoteControls } from "../control.ts";
import type { LabControls } from "../controls.ts";
import { type LabDescription, readDescriptions } from "../state.ts";
import { type LabView, labView } from "../view.ts";

/** Labs that run now, by number: those that this user started by the command line, or the one that is named. */
export async function runningLabs(number?: number): Promise<LabDescription[]> {
  const descriptions = await readDescriptions();
  const wanted = descriptions.filter((lab) => (number === undefined ? lab.forPerson : lab.number === number));
  const running = await Promise.all(wanted.map(isRunning));
  return wanted.filter((_, at) => running[at]);
}

/**
 * The lab that a command is for.
 *
 * @throws when there is none, or several and none was named.
 */
export async function findLab(number: number | undefined): Promise<LabDescription> {
  const running = await runningLabs(number);
  const [only, ...others] = running;
  if (only === undefined) {
    throw new Error(
      `${number === undefined ? "No lab runs" : `Lab ${number} does not run`}. Start one with: npm run lab -- up`,
    );
  }
  if (others.length > 0) {
    throw new Error(`Labs ${running.map((lab) => lab.number).join(", ")} run. Name one of them with --lab N.`);
  }
  return only;
}

/** Uses a lab of another process for one command. */
export async function withLab<T>(
  number: number | undefined,
  use: (view: LabView, controls: LabControls) => Promise<T>,
): Promise<T> {
  const description = await findLab(number);
  const controls = remoteControls(description);
  const view = labView(description, controls);
  try {
    return await use(view, controls);
  } finally {
    view.close();
  }
}
