import type { Runner } from "#actions/lib/runner.ts";
import type { OperationName } from "./attach.ts";
import { howToAttach } from "./attach.ts";
import { goesOnSummary } from "./report.ts";

const watchedState = "watched-operation";

/** Remembers for the post script which operation is watched. */
export const keepWatched = (runner: Runner, { clusterId, operationId }: OperationName): void =>
  runner.keepState(watchedState, JSON.stringify({ clusterId, operationId }));

/** The watching has come to an end that was told. */
export const keepTold = (runner: Runner): void => runner.keepState(watchedState, "");

/** The post script: when the main script was killed while it watched, says that the operation goes on and how to attach. */
export async function tellWatched(runner: Runner): Promise<void> {
  const watched = runner.state(watchedState);
  if (watched === "") return;
  const name = JSON.parse(watched) as OperationName;
  runner.warning({
    title: "The operation goes on",
    message: `This run was ended while it watched ${name.operationId} of ${name.clusterId}. The operation goes on. ${howToAttach(name)}`,
  });
  await runner.summary(goesOnSummary(name, "This run was ended before the operation was."));
}
