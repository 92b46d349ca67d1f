import { describeFailure, Failure, failureReport } from "#contract/failure-reasons.ts";
import type { Log } from "./log.ts";

/** Runs a script's main function: a failure becomes one line for people and exit code 1; a stack trace only for debugging. */
export const runMain = (log: Log, main: (signal: AbortSignal) => Promise<void>): void => {
  const ending = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.once(name, () => {
      log.info(`${name}: ending`);
      ending.abort(new Failure("interrupted", { message: `The script was ended by ${name}.` }));
    });
  }
  main(ending.signal).then(
    // Open connections would keep the process alive; everything that matters was awaited.
    () => process.exit(),
    (error: unknown) => {
      if (ending.signal.aborted) process.exit(0);
      log.error(describeFailure(error));
      // Whoever called the script over SSM gets the reason as its one JSON object.
      if (process.env.SSM_Mode !== undefined) process.stdout.write(`${JSON.stringify(failureReport(error))}\n`);
      if (process.env.PERCONA_DEBUG !== undefined && error instanceof Error) log.error(error.stack ?? "");
      process.exit(1);
    },
  );
};
