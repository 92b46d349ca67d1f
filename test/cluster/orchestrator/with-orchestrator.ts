import { describe } from "vitest";
import { orchestratorMissing, orchestratorProgram } from "#lab/orchestrator.ts";

/** Tests that need the program; without it they are skipped, and it is said aloud. */
export const describeWithOrchestrator = (name: string, tests: (program: string) => void): void => {
  const program = orchestratorProgram();
  if (program === undefined) {
    process.stderr.write(`\n== THE ORCHESTRATOR HALF IS SKIPPED: ${name}. ${orchestratorMissing}. ==\n`);
  }
  describe.skipIf(program === undefined)(program === undefined ? `${name}: ${orchestratorMissing}` : name, () =>
    tests(program ?? ""),
  );
};
