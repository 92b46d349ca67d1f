import { randomUUID } from "node:crypto";
import * as core from "@actions/core";
import { fitSummary, plainLine, plainLines } from "./text.ts";

/** An annotation on the run; the texts may come from outside. */
export interface Annotation {
  readonly title: string;
  readonly message: string;
}

/** What an action does to the GitHub runner that runs it, all of it. */
export interface Runner {
  /** The input's text, trimmed; empty when it is not set. */
  input(name: string): string;
  output(name: string, value: string): void;
  /** Adds Markdown to the job summary. */
  summary(markdown: string): Promise<void>;
  /** One line of the log. */
  info(line: string): void;
  /** A collapsed group of the log with text that a node or a program wrote. */
  echo(title: string, text: string): void;
  warning(annotation: Annotation): void;
  error(annotation: Annotation): void;
  /** `RUNNER_DEBUG=1`: the person asked for details. */
  readonly debug: boolean;
  /** The process ends with this code once its work has ended. */
  exit(code: number): void;
  /** What an earlier script of this step kept under that name; empty when none did. */
  state(name: string): string;
  /** Keeps a text for the step's post script; the last one counts. */
  keepState(name: string, value: string): void;
}

/** The real runner. Outside one, where there are no files for outputs and summary, they go to the log. */
export const githubRunner = (env: NodeJS.ProcessEnv = process.env): Runner => ({
  input: (name) => core.getInput(name),
  output: (name, value) => core.setOutput(name, value),
  summary: async (markdown) => {
    if (env.GITHUB_STEP_SUMMARY) await core.summary.addRaw(fitSummary(markdown), true).write();
    else for (const line of plainLines(markdown)) core.info(line);
  },
  info: (line) => core.info(plainLine(line)),
  echo: (title, text) => {
    core.startGroup(plainLine(title));
    const token = randomUUID();
    core.info(`::stop-commands::${token}`);
    for (const line of plainLines(text)) core.info(line);
    core.info(`::${token}::`);
    core.endGroup();
  },
  warning: ({ title, message }) => core.warning(plainLine(message), { title: plainLine(title) }),
  error: ({ title, message }) => core.error(plainLine(message), { title: plainLine(title) }),
  debug: core.isDebug(),
  exit: (code) => {
    process.exitCode = code;
  },
  state: (name) => core.getState(name),
  keepState: (name, value) => core.saveState(name, value),
});
