import { parseArgs } from "node:util";
import { type Command, type CommandResult, type Find, jobFailure, lastExitCode, parse, succeeded } from "./command.ts";
import type { Service } from "./service.ts";
import type { Timers } from "./timers.ts";
import { type UnitDefinition, UnitError, unitDefinition, unitName, withProperty, withVariable } from "./unit.ts";

const options = {
  unit: { type: "string", short: "u" },
  property: { type: "string", short: "p", multiple: true },
  setenv: { type: "string", short: "E", multiple: true },
  description: { type: "string" },
  "service-type": { type: "string" },
  "working-directory": { type: "string" },
  collect: { type: "boolean", short: "G" },
  "no-block": { type: "boolean" },
  wait: { type: "boolean" },
  quiet: { type: "boolean", short: "q" },
  // These change nothing here.
  slice: { type: "string" },
  system: { type: "boolean" },
} as const;

/** What systemd-run needs of the manager. */
export interface TransientUnits {
  readonly timers: Timers;
  readonly find: Find;
  add(unit: UnitDefinition): Service;
  newInvocation(): string;
}

/** systemd-run: starts a transient service. */
export async function systemdRun(
  args: readonly string[],
  environment: Command["environment"],
  manager: TransientUnits,
): Promise<CommandResult> {
  const { values, program } = commandLine(args);
  const unit = transientUnit(values, program, environment, manager.newInvocation);
  if (manager.find(unit.name) !== undefined) {
    throw new UnitError(
      `Failed to start transient service unit: Unit ${unit.name}.service was already loaded or has a fragment file.`,
    );
  }
  const service = manager.add(unit);
  const started = service.start();
  const stderr =
    values.quiet === true
      ? ""
      : `Running as unit: ${unit.name}.service; invocation ID: ${service.state().invocation}\n`;
  if (values.wait === true) {
    await started;
    await untilOver(service, manager.timers);
    return { exitCode: lastExitCode(service.state()), stdout: "", stderr };
  }
  if (values["no-block"] !== true) {
    const outcome = await started;
    if (!outcome.ok) return jobFailure(unit.name, outcome);
  }
  return { ...succeeded, stderr };
}

/** Splits systemd-run's own options from the program and its arguments, which begin at the first word that is no option. */
function commandLine(args: readonly string[]) {
  const { tokens } = parseArgs({ args: [...args], options, allowPositionals: true, strict: false, tokens: true });
  const first = tokens.find(({ kind }) => kind !== "option");
  const at = first?.index ?? args.length;
  const [program, ...rest] = args.slice(first?.kind === "option-terminator" ? at + 1 : at);
  if (program === undefined) throw new UnitError("Command line to execute required.");
  const { values } = parse(args.slice(0, at), options);
  return { values, program: [program, ...rest] as const };
}

function transientUnit(
  values: ReturnType<typeof commandLine>["values"],
  argv: UnitDefinition["argv"],
  environment: Command["environment"],
  newInvocation: () => string,
): UnitDefinition {
  const plain = unitDefinition({
    name: values.unit === undefined ? `run-r${newInvocation()}` : unitName(values.unit),
    argv,
    description: values.description ?? argv.join(" "),
    transient: true,
    collect: values.collect ?? false,
  });
  const properties = [
    ...(values.property ?? []),
    ...(values["service-type"] === undefined ? [] : [`Type=${values["service-type"]}`]),
    ...(values["working-directory"] === undefined ? [] : [`WorkingDirectory=${values["working-directory"]}`]),
  ];
  const variables = (values.setenv ?? []).map((assignment) => inherited(assignment, environment));
  return variables.reduce(withVariable, properties.reduce(withProperty, plain));
}

/** `--setenv=NAME` takes the value from the caller's environment, so that it need not stand in an argument. */
function inherited(assignment: string, environment: Command["environment"]): string {
  if (assignment.includes("=")) return assignment;
  const value = environment[assignment];
  if (value === undefined) throw new UnitError(`Environment variable $${assignment} is not set.`);
  return `${assignment}=${value}`;
}

async function untilOver(service: Service, timers: Timers): Promise<void> {
  while (!["inactive", "failed"].includes(service.state().active)) {
    await new Promise<void>((resolve) => timers.after(20, resolve));
  }
}
