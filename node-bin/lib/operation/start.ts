import { Failure } from "#contract/failure-reasons.ts";
import { operationUnit } from "#contract/names.ts";
import type { Run } from "../host/run.ts";

/** Variables that a transient unit is given; it inherits nothing else of its caller's environment. */
const inherited = /^(PERCONA_|AWS_|PATH$|HOME$|NODE_COMPILE_CACHE$|USER$)/;

/**
 * Has systemd run the operation detached from this process. Answers the unit, whether it was started now or runs already.
 * Error: `internal` with systemd's words.
 */
export const startDetached = async (
  run: Run,
  operationId: string,
  program: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<string> => {
  const unit = operationUnit(operationId);
  const variables = Object.entries(env)
    .filter(([name, value]) => inherited.test(name) && value !== undefined && !name.startsWith("AWS_SECRET"))
    .map(([name, value]) => `--setenv=${name}=${value}`);
  const result = await run(
    ["systemd-run", `--unit=${unit}`, "--collect", "--no-block", "--quiet", ...variables, ...program],
    { timeoutMs: 30_000 },
  );
  if (result.exitCode !== 0 && !/already (loaded|exists)|fragment file/.test(result.stderr)) {
    throw new Failure("internal", {
      message: `systemd-run for ${unit} ended with ${result.exitCode}: ${result.stderr.trim()}.`,
      changed: "The operation is recorded and does not run.",
    });
  }
  return unit;
};
