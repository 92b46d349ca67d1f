import { monotonicMs } from "../host/wait.ts";

/** Where lines of progress go. */
export type ProgressLines = (line: string) => void;

/** Counts bytes and says now and then how far it is: often in the beginning, once a minute later. */
export interface ByteProgress {
  add(bytes: number): void;
  /** One last line. */
  end(): void;
  readonly bytes: number;
}

const firstLines = [1, 2, 5, 10, 30, 60];

/** Bytes for people, in decimal units. */
export const humanBytes = (bytes: number): string => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
};

/**
 * Progress of one stream. `what` begins each line, for example `backup 2026-11-21T00-17-05Z: sent`; `total` is in bytes, when it is
 * known beforehand.
 */
export const byteProgress = (
  what: string,
  lines: ProgressLines,
  total?: number,
  now: () => number = monotonicMs,
): ByteProgress => {
  const began = now();
  let bytes = 0;
  let said = 0;
  const nextAt = (): number => firstLines[said] ?? 60 * (said - firstLines.length + 2);
  const say = (seconds: number): void => {
    const of =
      total === undefined
        ? ""
        : ` of ${humanBytes(total)} (${total === 0 ? 100 : Math.floor((bytes / total) * 100)} %)`;
    const rate = seconds > 0 ? `, ${humanBytes(bytes / seconds)}/s` : "";
    lines(`${what} ${humanBytes(bytes)}${of} in ${seconds.toFixed(1)} s${rate}`);
  };
  return {
    add: (more) => {
      bytes += more;
      const seconds = (now() - began) / 1000;
      if (seconds < nextAt()) return;
      say(seconds);
      while (nextAt() <= seconds) said += 1;
    },
    end: () => say((now() - began) / 1000),
    get bytes() {
      return bytes;
    },
  };
};
