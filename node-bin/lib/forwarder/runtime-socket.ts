import { connect } from "node:net";
import { Failure } from "#contract/failure-reasons.ts";

/** Sends commands to a running HAProxy, as one line. Errors: `internal`, `timed-out`. */
export type RuntimeSocket = (commands: readonly string[]) => Promise<string>;

const unit = "Look at the unit percona-forwarder and its log. It is tried again.";

/**
 * HAProxy's runtime socket. Each call is a connection of its own, which outlives no restart of HAProxy, and one line, so that
 * all its commands are executed without a round trip between them.
 *
 * @param timeoutMs for connection and answer together.
 */
export const runtimeSocket =
  (path: string, timeoutMs: number): RuntimeSocket =>
  (commands) =>
    new Promise((resolve, reject) => {
      let text = "";
      const socket = connect(path);
      const timer = setTimeout(() => {
        socket.destroy();
        reject(
          new Failure("timed-out", {
            message: `HAProxy did not answer at ${path} within ${timeoutMs} ms: ${commands.join("; ")}.`,
            changed: "HAProxy may have executed the commands.",
            next: unit,
          }),
        );
      }, timeoutMs);
      socket.setEncoding("utf8");
      socket.on("data", (part: string) => {
        text += part;
      });
      socket.on("error", (cause) => {
        clearTimeout(timer);
        reject(
          new Failure("internal", {
            message: `HAProxy could not be asked at ${path}: ${cause.message}.`,
            changed: text === "" ? "Nothing was changed." : "HAProxy may have executed some of the commands.",
            next: unit,
            cause,
          }),
        );
      });
      socket.on("end", () => {
        clearTimeout(timer);
        resolve(text);
      });
      socket.write(`${commands.join("; ")}\n`);
    });

/** What HAProxy 2.6 answers to a command of ours that it has executed. */
const done = /^(?:(?:IP changed from|no need to change) .*)?$/;

/** Throws `internal` when one of the commands was not executed. */
export const expectDone = (commands: readonly string[], answer: string): void => {
  const complaint = answer.split("\n").find((line) => !done.test(line));
  if (complaint === undefined) return;
  throw new Failure("internal", {
    message: `HAProxy refused one of the commands ${commands.join("; ")}: ${complaint}`,
    changed: "The others were executed.",
    next: "Compare HAProxy's configuration with the template that this version brings. It is tried again.",
  });
};
