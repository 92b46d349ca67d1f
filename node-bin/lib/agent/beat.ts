/**
 * When a loop's next round begins, milliseconds on the clock that `now` is of. Rounds are at multiples of their interval, so that loops
 * wake up together: each time that an idle process wakes costs more than most of what it then does. The first round comes
 * sooner than a whole interval, never later.
 *
 * @param afterMs how long after the multiple: for loops that decide on what others have just looked at.
 */
export const nextBeat = (now: number, everyMs: number, afterMs: number): number =>
  (Math.floor((now - afterMs) / everyMs) + 1) * everyMs + afterMs;
