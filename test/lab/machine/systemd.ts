import { type Command, type CommandResult, exitCodes } from "./command.ts";
import { type ControlGroup, createService, type Service } from "./service.ts";
import { systemctl } from "./systemctl.ts";
import { systemdRun } from "./systemd-run.ts";
import type { Timers } from "./timers.ts";
import { type UnitDefinition, UnitError } from "./unit.ts";

/** What the manager needs from the machine. */
export interface SystemdHost {
  readonly timers: Timers;
  launch(unit: UnitDefinition, invocation: string): ControlGroup;
  newInvocation(): string;
  /** One line for the journal of a unit. */
  note(unit: string, line: string): void;
}

/** One machine's service manager, from boot until the power goes. */
export interface Systemd {
  /** Executes a systemctl or systemd-run command. */
  command(command: Command): Promise<CommandResult>;
  /** A service by its name without `.service`. */
  service(name: string): Service | undefined;
  /** Nothing is started or restarted any more. */
  cutPower(): void;
}

/** A service manager for the given units; systemd-run adds others. */
export function createSystemd(units: readonly UnitDefinition[], host: SystemdHost): Systemd {
  const services = new Map<string, Service>();
  const find = (name: string): Service | undefined => services.get(name);
  const add = (unit: UnitDefinition): Service => {
    const service = createService(unit, {
      timers: host.timers,
      launch: host.launch,
      newInvocation: host.newInvocation,
      note: (line) => host.note(unit.name, line),
      forget: () => {
        services.delete(unit.name);
      },
    });
    services.set(unit.name, service);
    return service;
  };
  for (const unit of units) add(unit);

  const execute = ({ argv: [program, ...args], environment }: Command): Promise<CommandResult> => {
    if (program === "systemctl") return systemctl(args, find, () => [...services.values()]);
    if (program === "systemd-run") return systemdRun(args, environment, { ...host, find, add });
    throw new UnitError(`The lab's systemd has no program ${program}.`);
  };

  return {
    command: async (command) => {
      try {
        return await execute(command);
      } catch (error) {
        if (!(error instanceof UnitError)) throw error;
        return { exitCode: exitCodes.failure, stdout: "", stderr: `${error.message}\n` };
      }
    },
    service: find,
    cutPower: () => {
      for (const service of services.values()) service.cutPower();
    },
  };
}
