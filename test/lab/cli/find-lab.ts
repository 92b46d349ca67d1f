import { isRunning, remoteControls } from "../control.ts";
import type { LabControls } from "../controls.ts";
import { type LabDescription, readDescriptions } from "../state.ts";
import { type LabView, labView } from "../view.ts";

/** Labs of this user that run now, by number. */
export async function runningLabs(): Promise<LabDescription[]> {
  const descriptions = await readDescriptions();
  const running = await Promise.all(descriptions.map(isRunning));
  return descriptions.filter((_, at) => running[at]);
}

/**
 * The lab that a command is for.
 *
 * @throws when there is none, or several and none was named.
 */
export async function findLab(number: number | undefined): Promise<LabDescription> {
  const running = await runningLabs();
  const wanted = number === undefined ? running : running.filter((lab) => lab.number === number);
  const [only, ...others] = wanted;
  if (only === undefined) {
    throw new Error(
      `${number === undefined ? "No lab runs" : `Lab ${number} does not run`}. Start one with: npm run lab -- up`,
    );
  }
  if (others.length > 0) {
    throw new Error(`Labs ${wanted.map((lab) => lab.number).join(", ")} run. Name one of them with --lab N.`);
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
