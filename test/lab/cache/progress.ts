/** One phase of the set-up of one entry begins or has ended. */
export interface Progress {
  /** The entry, for example `mysql`. */
  readonly entry: string;
  /** What is being done, as a noun phrase that fits before and after, for example `download of 60 packages`. */
  readonly phase: string;
  readonly state: "begun" | "done" | "failed";
  /** Size of what is moved or made, 10^6 bytes, where known. */
  readonly megabytes?: number;
  /** How long it took; only when it has ended. */
  readonly seconds?: number;
}

/** Told about each phase. It must not throw. */
export type Report = (progress: Progress) => void;

/** Runs `work` as one phase. `megabytes` may be known before, or be told by the work through `measured`. */
export async function inPhase<T>(
  report: Report,
  entry: string,
  phase: string,
  work: (measured: (megabytes: number) => void) => Promise<T>,
  megabytes?: number,
): Promise<T> {
  const began = performance.now();
  let size = megabytes;
  const tell = (state: Progress["state"], seconds?: number): void =>
    report({
      entry,
      phase,
      state,
      ...(size === undefined ? {} : { megabytes: size }),
      ...(seconds === undefined ? {} : { seconds }),
    });
  tell("begun");
  let state: "done" | "failed" = "failed";
  try {
    const result = await work((measured) => {
      size = measured;
    });
    state = "done";
    return result;
  } finally {
    tell(state, (performance.now() - began) / 1000);
  }
}

/** One line for one event: entry, phase, MB, seconds in fixed columns. */
export function progressLine(progress: Progress): string {
  const megabytes = progress.megabytes === undefined ? "" : `${Math.round(progress.megabytes)} MB`;
  const seconds = progress.seconds === undefined ? "…" : `${progress.seconds.toFixed(1)} s`;
  const failed = progress.state === "failed" ? "  failed" : "";
  return `${progress.entry.padEnd(10)} ${progress.phase.padEnd(46)} ${megabytes.padStart(7)} ${seconds.padStart(8)}${failed}`;
}

/**
 * Writes one line for each phase when it is done. A phase that lasts longer than `patience` also gets a line with `…` while it
 * runs, so that a quiet terminal never lasts.
 */
export function reportLines(write: (line: string) => void, patience = 1000): Report {
  const waiting = new Map<string, NodeJS.Timeout>();
  return (progress) => {
    const name = `${progress.entry} ${progress.phase}`;
    clearTimeout(waiting.get(name));
    waiting.delete(name);
    const line = `${progressLine(progress)}\n`;
    if (progress.state === "begun") waiting.set(name, setTimeout(write, patience, line).unref());
    else write(line);
  };
}
