import { constants } from "node:os";
import { type CommandResult, exitCodes, type Find, jobFailure, parse, succeeded } from "./command.ts";
import type { ActiveState, Ended, Service } from "./service.ts";
import { signalName, UnitError, unitName } from "./unit.ts";

const options = {
  signal: { type: "string", short: "s" },
  "kill-whom": { type: "string" },
  property: { type: "string", short: "p", multiple: true },
  value: { type: "boolean" },
  "no-block": { type: "boolean" },
  quiet: { type: "boolean", short: "q" },
  // These change nothing here.
  "no-pager": { type: "boolean" },
  full: { type: "boolean", short: "l" },
  system: { type: "boolean" },
  lines: { type: "string", short: "n" },
} as const;

type Options = ReturnType<typeof parse<typeof options>>["values"];

/** systemctl's verbs as far as nodes use them. */
export async function systemctl(
  args: readonly string[],
  find: Find,
  all: () => readonly Service[],
): Promise<CommandResult> {
  const { values, positionals } = parse(args, options);
  const [verb, ...given] = positionals;
  const names = given.map(unitName);
  if (verb === undefined) throw new UnitError(`systemctl wants a verb: ${verbs.join(", ")}.`);
  if (verb in jobs) return runJobs(verb as keyof typeof jobs, names, values, find);
  switch (verb) {
    case "kill":
      return kill(names, values, find);
    case "is-active":
      return compare(names, "active", exitCodes.notRunning, values, find);
    case "is-failed":
      return compare(names, "failed", exitCodes.failure, values, find);
    case "status":
      return merged(
        (names.length === 0 ? all().map(({ unit }) => unit.name) : names).map((name) => status(name, find)),
      );
    case "show":
      return show(names, values, find);
    case "reset-failed":
      for (const service of names.length === 0 ? all() : loaded(verb, names, find)) service.resetFailed();
      return succeeded;
    case "daemon-reload":
      return succeeded;
    default:
      throw new UnitError(`Unknown command verb '${verb}'. The lab's systemctl knows ${verbs.join(", ")}.`);
  }
}

type Job = (name: string, find: Find) => Promise<CommandResult>;

const notLoaded = (name: string): CommandResult => ({
  ...succeeded,
  exitCode: exitCodes.notLoaded,
  stderr: `Unit ${name}.service not loaded.\n`,
});

const start: Job = async (name, find) => {
  const service = find(name);
  if (service === undefined) {
    return { ...notLoaded(name), stderr: `Failed to start ${name}.service: Unit ${name}.service not found.\n` };
  }
  const outcome = await service.start();
  return outcome.ok ? succeeded : jobFailure(name, outcome);
};

const stop: Job = async (name, find) => {
  const service = find(name);
  if (service === undefined) return notLoaded(name);
  await service.stop();
  return succeeded;
};

const restart: Job = async (name, find) => {
  await find(name)?.stop();
  return start(name, find);
};

const tryRestart: Job = async (name, find) => {
  const service = find(name);
  if (service === undefined) return notLoaded(name);
  return ["active", "activating"].includes(service.state().active) ? restart(name, find) : succeeded;
};

const jobs = { start, stop, restart, "reload-or-restart": restart, "try-restart": tryRestart } as const;
const verbs = [
  ...Object.keys(jobs),
  "kill",
  "is-active",
  "is-failed",
  "status",
  "show",
  "reset-failed",
  "daemon-reload",
];

async function runJobs(
  verb: keyof typeof jobs,
  names: readonly string[],
  values: Options,
  find: Find,
): Promise<CommandResult> {
  needNames(verb, names);
  const background = values["no-block"] === true && names.every((name) => find(name) !== undefined);
  const done = Promise.all(names.map((name) => jobs[verb](name, find)));
  if (!background) return merged(await done);
  // How it ends stands in the unit's journal.
  done.catch(() => {});
  return succeeded;
}

function kill(names: readonly string[], values: Options, find: Find): CommandResult {
  const signal = signalName(values.signal ?? "SIGTERM");
  const whom = values["kill-whom"] ?? "all";
  if (whom !== "all" && whom !== "main")
    throw new UnitError(`--kill-whom=${whom}: the lab's systemctl knows all, main.`);
  for (const service of loaded("kill", names, find)) service.signal(signal, whom);
  return succeeded;
}

function compare(
  names: readonly string[],
  wanted: ActiveState,
  otherwise: number,
  values: Options,
  find: Find,
): CommandResult {
  needNames(`is-${wanted}`, names);
  const states = names.map((name) => find(name)?.state().active ?? "inactive");
  return {
    exitCode: states.includes(wanted) ? 0 : otherwise,
    stdout: values.quiet === true ? "" : lines(states),
    stderr: "",
  };
}

function status(name: string, find: Find): CommandResult {
  const service = find(name);
  if (service === undefined) {
    return {
      exitCode: exitCodes.noSuchUnit,
      stdout: "",
      stderr: `Unit ${name}.service could not be found.\n`,
    };
  }
  const { active, sub, result, restarts, mainPid } = service.state();
  const stdout = lines([
    `${name}.service - ${service.unit.description}`,
    `     Active: ${active} (${sub})`,
    `     Result: ${result}, ${restarts} restarts`,
    ...(mainPid === 0 ? [] : [`   Main PID: ${mainPid}`]),
  ]);
  return { exitCode: active === "active" ? 0 : exitCodes.notRunning, stdout, stderr: "" };
}

function show(names: readonly string[], values: Options, find: Find): CommandResult {
  needNames("show", names);
  const wanted = (values.property ?? []).flatMap((list) => list.split(","));
  const blocks = names.map((name) => {
    const properties = propertiesOf(name, find(name));
    const shown = wanted.length === 0 ? Object.keys(properties) : wanted.filter((property) => property in properties);
    return lines(
      shown.map((property) =>
        values.value === true ? `${properties[property]}` : `${property}=${properties[property]}`,
      ),
    );
  });
  return { ...succeeded, stdout: blocks.join("\n") };
}

/** A unit that is not there is shown as `not-found`, as systemd does. */
function propertiesOf(name: string, service: Service | undefined): Readonly<Record<string, string>> {
  const state = service?.state();
  return {
    Id: `${name}.service`,
    Description: service?.unit.description ?? `${name}.service`,
    LoadState: service === undefined ? "not-found" : "loaded",
    ActiveState: state?.active ?? "inactive",
    SubState: state?.sub ?? "dead",
    Result: state?.result ?? "success",
    MainPID: String(state?.mainPid ?? 0),
    NRestarts: String(state?.restarts ?? 0),
    ...mainEnd(state?.lastEnd),
    InvocationID: state?.invocation ?? "",
    Type: service?.unit.type ?? "simple",
    Restart: service?.unit.restart ?? "no",
  };
}

/** The code is 1 for "exited" and 2 for "killed", as in siginfo_t. */
function mainEnd(end: Ended | undefined): { ExecMainCode: string; ExecMainStatus: string } {
  if (end === undefined) return { ExecMainCode: "0", ExecMainStatus: "0" };
  return end.signal === null
    ? { ExecMainCode: "1", ExecMainStatus: String(end.code) }
    : { ExecMainCode: "2", ExecMainStatus: String(constants.signals[end.signal]) };
}

function needNames(verb: string, names: readonly string[]): void {
  if (names.length === 0) throw new UnitError(`systemctl ${verb} wants the name of a unit.`);
}

function loaded(verb: string, names: readonly string[], find: Find): Service[] {
  needNames(verb, names);
  return names.map((name) => {
    const service = find(name);
    if (service === undefined) throw new UnitError(`Unit ${name}.service not loaded.`);
    return service;
  });
}

const lines = (words: readonly string[]): string => words.map((word) => `${word}\n`).join("");

function merged(results: readonly CommandResult[]): CommandResult {
  return {
    exitCode: results.find(({ exitCode }) => exitCode !== 0)?.exitCode ?? 0,
    stdout: results.map(({ stdout }) => stdout).join(""),
    stderr: results.map(({ stderr }) => stderr).join(""),
  };
}
