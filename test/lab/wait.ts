import { setTimeout as delay } from "node:timers/promises";

/** What a look at a condition gives: `true` when it holds, otherwise what was seen instead. */
export type Look = true | string | { readonly seen: unknown };

/** How often a condition is looked at, milliseconds. */
const lookEveryMs = 100;

/**
 * Waits until a condition holds. An error of the look counts as something seen.
 *
 * @param context is asked for more to say when the time is up.
 * @param signal ends the wait early with its reason.
 * @throws at the deadline, with what was waited for and what was seen last.
 */
export async function waitUntil(
  description: string,
  look: () => Promise<Look> | Look,
  deadlineMs: number,
  context: () => Promise<string> | string = () => "",
  signal?: AbortSignal,
): Promise<void> {
  const began = performance.now();
  for (;;) {
    signal?.throwIfAborted();
    const seen = await attempt(look);
    if (seen === true) return;
    if (performance.now() - began >= deadlineMs) {
      const last = typeof seen === "string" ? seen : JSON.stringify(seen.seen);
      const more = await context();
      throw new Error(
        `Waited ${Math.round(deadlineMs / 1000)} s in vain until ${description}. Seen last: ${last}${more === "" ? "" : `\n${more}`}`,
      );
    }
    await delay(lookEveryMs);
  }
}

async function attempt(look: () => Promise<Look> | Look): Promise<Look> {
  try {
    return await look();
  } catch (error) {
    return `error: ${error instanceof Error ? error.message : error}`;
  }
}
