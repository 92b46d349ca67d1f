import { constants } from "node:os";
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { messageOf } from "#contract/failure-reasons.ts";
import type { JobOutcome, Service, ServiceState } from "./service.ts";
import { UnitError } from "./unit.ts";

/** A command as its shim hands it over. */
export interface Command {
  /** Name of the program first: `systemctl` or `systemd-run`. */
  readonly argv: readonly string[];
  /** The caller's environment. */
  readonly environment: Readonly<Record<string, string>>;
}

/** What a command prints and how it ends. */
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Exit codes of systemctl (systemctl(1), after LSB). */
export const exitCodes = { failure: 1, notRunning: 3, noSuchUnit: 4, notLoaded: 5 } as const;

export const succeeded: CommandResult = { exitCode: 0, stdout: "", stderr: "" };

/** Finds a loaded service by its name without `.service`. */
export type Find = (name: string) => Service | undefined;

/** What systemctl and systemd-run say when a start did not come to its end. */
export const jobFailure = (name: string, { why }: JobOutcome & { ok: false }): CommandResult => ({
  ...succeeded,
  exitCode: exitCodes.failure,
  stderr:
    why === "canceled"
      ? `Job for ${name}.service canceled.\n`
      : `Job for ${name}.service failed (${why}).\nSee "systemctl status ${name}.service" for details.\n`,
});

/** The exit code of the main process that ended last, as a shell tells it. */
export function lastExitCode({ lastEnd }: ServiceState): number {
  if (lastEnd === undefined) return exitCodes.failure;
  return lastEnd.signal === null ? (lastEnd.code ?? exitCodes.failure) : 128 + constants.signals[lastEnd.signal];
}

/**
 * `parseArgs` whose complaints are the command's.
 *
 * @throws UnitError for an unknown option.
 */
export function parse<T extends ParseArgsOptionsConfig>(args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UnitError(messageOf(error));
  }
}
