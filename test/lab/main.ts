import { messageOf } from "#contract/failure-reasons.ts";
import { type CommandLine, parseCommandLine, UsageError, usage } from "./cli/arguments.ts";
import { runDaemon } from "./cli/daemon.ts";
import { down } from "./cli/down.ts";
import { print, say } from "./cli/output.ts";
import { foreground, up } from "./cli/up.ts";
import { logs, operateMachine, run, sql, status, terminate } from "./cli/use.ts";

/** `npm run lab`: a rehearsal cluster for a person. Exit code 2 for a command line that makes no sense, 1 for a failure. */
function execute(line: CommandLine): Promise<void> | void {
  switch (line.command) {
    case "help":
      return print(usage);
    case "":
      return foreground(line);
    case "daemon":
      return runDaemon(line);
    case "up":
      return up(line);
    case "down":
      return down(line);
    case "status":
      return status(line);
    case "kill":
    case "start":
    case "stop":
    case "cont":
      return operateMachine(line, line.command);
    case "terminate":
      return terminate(line);
    case "sql":
      return sql(line);
    case "logs":
      return logs(line);
    case "run":
      return run(line);
  }
}

try {
  await execute(parseCommandLine(process.argv.slice(2)));
} catch (error) {
  if (error instanceof UsageError) {
    say(`${error.message}\n\n${usage}`);
    process.exitCode = 2;
  } else {
    say(messageOf(error));
    process.exitCode = 1;
  }
}
