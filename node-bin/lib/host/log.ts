/** Lines for the unit's journal: time, script, level, sentence. Nothing secret ever reaches it. */
export interface Log {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
  /** Only when `PERCONA_DEBUG` is set. */
  debug(message: string): void;
}

/** A log for one script. `write` gets whole lines; `now` is the wall clock, for people. */
export const makeLog = (
  script: string,
  write: (line: string) => void = (line) => void process.stderr.write(line),
  now: () => Date = () => new Date(),
  debug = process.env.PERCONA_DEBUG !== undefined,
): Log => {
  const line = (level: string) => (message: string) => {
    write(`${now().toISOString()} ${script} ${level} ${message.replaceAll("\n", " ")}\n`);
  };
  return { info: line("info"), warn: line("warn"), error: line("error"), debug: debug ? line("debug") : () => {} };
};
