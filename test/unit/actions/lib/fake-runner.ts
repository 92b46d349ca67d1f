import type { Annotation, Runner } from "#actions/lib/runner.ts";

/** A runner that remembers what was done to it. */
export interface FakeRunner extends Runner {
  readonly outputs: Record<string, string>;
  readonly summaries: string[];
  readonly lines: string[];
  readonly errors: Annotation[];
  readonly warnings: Annotation[];
  readonly echoed: string[];
  readonly kept: Record<string, string>;
  exitCode: number;
}

export const fakeRunner = (inputs: Record<string, string> = {}, debug = false): FakeRunner => {
  const runner: FakeRunner = {
    outputs: {},
    summaries: [],
    lines: [],
    errors: [],
    warnings: [],
    echoed: [],
    kept: {},
    exitCode: 0,
    debug,
    input: (name) => inputs[name] ?? "",
    output: (name, value) => {
      runner.outputs[name] = value;
    },
    summary: async (markdown) => {
      runner.summaries.push(markdown);
    },
    info: (line) => {
      runner.lines.push(line);
    },
    echo: (title, text) => {
      runner.echoed.push(`${title}\n${text}`);
    },
    warning: (annotation) => {
      runner.warnings.push(annotation);
    },
    error: (annotation) => {
      runner.errors.push(annotation);
    },
    exit: (code) => {
      runner.exitCode = code;
    },
    state: (name) => runner.kept[name] ?? "",
    keepState: (name, value) => {
      runner.kept[name] = value;
    },
  };
  return runner;
};
