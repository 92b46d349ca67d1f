/** A systemd service as far as the lab's systemd knows them. Times are milliseconds. */
export interface UnitDefinition {
  /** Without `.service`. */
  readonly name: string;
  readonly description: string;
  readonly argv: readonly [string, ...string[]];
  /** `simple` counts as started once its process exists, `oneshot` once its process has ended well. */
  readonly type: "simple" | "oneshot";
  readonly restart: "no" | "on-failure" | "always";
  readonly restartMs: number;
  /** How long a stop may take before what is left gets SIGKILL; may be infinite. */
  readonly timeoutStopMs: number;
  readonly killSignal: NodeJS.Signals;
  /** A oneshot that has ended well stays `active (exited)`. */
  readonly remainAfterExit: boolean;
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  /** Made by systemd-run: forgotten when it has ended well. */
  readonly transient: boolean;
  /** Forgotten when it has failed, too. */
  readonly collect: boolean;
}

/** A mistake in a unit's property or in a command; the message is for the person or script that gave it. */
export class UnitError extends Error {
  override name = "UnitError";
}

/** systemd's defaults. */
export function unitDefinition(given: Pick<UnitDefinition, "name" | "argv"> & Partial<UnitDefinition>): UnitDefinition {
  return {
    description: given.name,
    type: "simple",
    restart: "no",
    restartMs: 100,
    timeoutStopMs: 90_000,
    killSignal: "SIGTERM",
    remainAfterExit: false,
    environment: {},
    workingDirectory: "/",
    transient: false,
    collect: false,
    ...given,
  };
}

const unitsOfTime: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  sec: 1000,
  min: 60_000,
  m: 60_000,
  h: 3_600_000,
  hr: 3_600_000,
};

/** A systemd time span such as `90`, `1min 30s` or `infinity`, in milliseconds. */
export function timeSpan(text: string): number {
  const trimmed = text.trim();
  if (trimmed === "infinity") return Number.POSITIVE_INFINITY;
  const parts = [...trimmed.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]*)\s*/gy)];
  const covered = parts.reduce((length, [part]) => length + part.length, 0);
  if (parts.length === 0 || covered !== trimmed.length) throw new UnitError(`Failed to parse time span: ${text}`);
  return parts.reduce((sum, [, number, unit]) => {
    const factor = unitsOfTime[unit || "s"];
    if (factor === undefined) throw new UnitError(`Failed to parse time span: ${text}`);
    return sum + Number(number) * factor;
  }, 0);
}

const signalNames = ["SIGTERM", "SIGKILL", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGSTOP", "SIGCONT"];

/** A signal by its name, with or without `SIG`, or its number as far as those are used here. */
export function signalName(text: string): NodeJS.Signals {
  const numbers: Readonly<Record<string, string>> = { 1: "HUP", 2: "INT", 3: "QUIT", 9: "KILL", 15: "TERM" };
  const name = `SIG${(numbers[text] ?? text).toUpperCase().replace(/^SIG/, "")}`;
  if (!signalNames.includes(name)) throw new UnitError(`Failed to parse signal string ${text}.`);
  return name as NodeJS.Signals;
}

const yes = (text: string): boolean => {
  if (/^(yes|true|on|1)$/.test(text)) return true;
  if (/^(no|false|off|0)$/.test(text)) return false;
  throw new UnitError(`Failed to parse boolean: ${text}`);
};

function oneOf<T extends string>(property: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find((word) => word === text);
  if (found === undefined) {
    throw new UnitError(`${property}=${text}: the lab's systemd knows ${allowed.join(", ")} only.`);
  }
  return found;
}

/** Properties that change nothing here: a laptop has no slices and limits for the lab's nodes. */
const withoutEffect = /^(Limit|CPU|Memory|IO|Tasks|OOM|Nice$|Slice$|User$|Group$|Syslog|StartLimit|After$|Wants$)/;

/** Applies one `--property NAME=VALUE`. */
export function withProperty(unit: UnitDefinition, assignment: string): UnitDefinition {
  const at = assignment.indexOf("=");
  if (at < 1) throw new UnitError(`Not an assignment: ${assignment}`);
  const name = assignment.slice(0, at);
  const value = assignment.slice(at + 1);
  switch (name) {
    case "Type":
      return { ...unit, type: oneOf(name, value, ["simple", "oneshot"]) };
    case "Restart":
      return { ...unit, restart: oneOf(name, value, ["no", "on-failure", "always"]) };
    case "RestartSec":
      return { ...unit, restartMs: timeSpan(value) };
    case "TimeoutStopSec":
      return { ...unit, timeoutStopMs: timeSpan(value) };
    case "KillMode":
      oneOf(name, value, ["control-group"]);
      return unit;
    case "KillSignal":
      return { ...unit, killSignal: signalName(value) };
    case "RemainAfterExit":
      return { ...unit, remainAfterExit: yes(value) };
    case "CollectMode":
      return { ...unit, collect: oneOf(name, value, ["inactive", "inactive-or-failed"]) === "inactive-or-failed" };
    case "Description":
      return { ...unit, description: value };
    case "WorkingDirectory":
      return { ...unit, workingDirectory: value };
    case "Environment":
      return withVariable(unit, value);
    default:
      if (withoutEffect.test(name)) return unit;
      throw new UnitError(`Unknown assignment: ${assignment} (the lab's systemd knows few properties)`);
  }
}

/** Applies one `NAME=VALUE` of the environment. */
export function withVariable(unit: UnitDefinition, assignment: string): UnitDefinition {
  const at = assignment.indexOf("=");
  if (at < 1) throw new UnitError(`Not an assignment: ${assignment}`);
  return {
    ...unit,
    environment: { ...unit.environment, [assignment.slice(0, at)]: assignment.slice(at + 1) },
  };
}

/** A unit's name without `.service`. */
export function unitName(text: string): string {
  const name = text.replace(/\.service$/, "");
  if (!/^[A-Za-z0-9:_.@\\-]{1,250}$/.test(name)) throw new UnitError(`Invalid unit name "${text}".`);
  return name;
}
