import * as v from "valibot";

const unitMs = { s: 1000, m: 60_000, h: 3_600_000 } as const;

/** A duration such as `90s`, `5m` or `1h` in milliseconds; undefined when the text is not one. */
export const parseDuration = (text: string): number | undefined => {
  const found = /^(\d{1,6})([smh])$/.exec(text);
  return found ? Number(found[1]) * unitMs[found[2] as keyof typeof unitMs] : undefined;
};

/** Schema of a duration input within limits; both limits are written as durations. The output is milliseconds. */
export const Duration = (least: string, most: string) =>
  v.pipe(
    v.string(),
    v.check((text) => {
      const ms = parseDuration(text);
      return ms !== undefined && ms >= (parseDuration(least) ?? 0) && ms <= (parseDuration(most) ?? 0);
    }, `a duration is a whole number with s, m or h, such as 90s or 5m, from ${least} to ${most}`),
    v.transform((text) => parseDuration(text) ?? 0),
  );

/** How long ago or how long it took, for people: `45 s`, `3 min`, `2 h`, `4 d`. */
export const forPeople = (milliseconds: number): string => {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} d`;
};
