import { Failure, messageOf } from "#contract/failure-reasons.ts";
import { githubRunner, type Runner } from "./runner.ts";
import { markdownText } from "./text.ts";

/** What an action's `main` is given. */
export interface ActionContext {
  readonly runner: Runner;
  readonly env: NodeJS.ProcessEnv;
  /** Aborted with a Failure when the run is cancelled. */
  readonly signal: AbortSignal;
}

/** An action: throws a Failure, or ends. */
export type ActionMain = (context: ActionContext) => Promise<void>;

/** What `run` has to know about an action. */
export interface ActionIdentity {
  /** Its name for people. */
  readonly title: string;
  /** It only reads, whatever happens: every failure says so. */
  readonly readOnly?: boolean;
  /** What its post script does; `action.yml` then names the same file as `main` and as `post`. */
  readonly post?: (runner: Runner) => Promise<void>;
}

/** Tells the post script, which is the same file, that the main script was run. */
const begunState = "begun";

/**
 * Runs an action. A failure becomes one annotation, the output `failure-reason`, a paragraph in the summary unless the action
 * wrote one, and exit code 1; the stack is shown only to the person who turned on debug logging.
 */
export async function run(
  { title, readOnly = false, post }: ActionIdentity,
  main: ActionMain,
  runner: Runner = githubRunner(),
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  if (post !== undefined && runner.state(begunState) !== "") return post(runner);
  if (post !== undefined) runner.keepState(begunState, "true");
  let summarised = false;
  const watched: Runner = {
    ...runner,
    summary: async (markdown) => {
      summarised = true;
      await runner.summary(markdown);
    },
  };
  const cancelled = new AbortController();
  const cancel = (signal: NodeJS.Signals): void =>
    cancelled.abort(new Failure("interrupted", { message: `The run was cancelled (${signal}).` }));
  process.once("SIGINT", cancel).once("SIGTERM", cancel);
  try {
    await main({ runner: watched, env, signal: cancelled.signal });
    runner.output("failure-reason", "");
  } catch (error) {
    const failure = readOnly ? nothingChanged(asFailure(error)) : asFailure(error);
    runner.output("failure-reason", failure.reason);
    runner.error({ title: `${title}: ${failure.reason}`, message: sentences(failure) });
    if (!summarised) await runner.summary(failureSummary(title, failure));
    if (runner.debug) runner.echo("Stack", stackOf(error));
    runner.exit(1);
  } finally {
    process.off("SIGINT", cancel).off("SIGTERM", cancel);
  }
}

/** Any error as a Failure; those without a reason are `internal`. */
export const asFailure = (error: unknown): Failure =>
  error instanceof Failure ? error : new Failure("internal", { message: messageOf(error), cause: error });

const nothingChanged = ({ reason, message, next, cause }: Failure): Failure =>
  new Failure(reason, { message, next, cause, changed: "Nothing was changed: this action only reads." });

const sentences = (failure: Failure): string =>
  [failure.message, failure.changed, failure.next].filter((text) => text !== "").join(" ");

const failureSummary = (title: string, failure: Failure): string =>
  [
    `## 🔴 ${title} failed: ${failure.reason}`,
    "",
    markdownText(failure.message),
    "",
    `**Was anything changed?** ${markdownText(failure.changed)}`,
    "",
    `**What next?** ${markdownText(failure.next)}`,
    "",
  ].join("\n");

const stackOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? error.message;
  return error.cause === undefined ? own : `${own}\nCaused by: ${stackOf(error.cause)}`;
};
