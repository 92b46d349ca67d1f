/** One line or more on standard output. */
export const print = (text: string): void => {
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
};

/** One JSON document on standard output. */
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));

/** One line for people on standard error. */
export const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};
