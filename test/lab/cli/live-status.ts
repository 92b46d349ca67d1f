import { setTimeout as delay } from "node:timers/promises";
import { print } from "./output.ts";

/** How often the display is renewed, milliseconds. */
const everyMs = 1000;

/**
 * Shows a text again and again until the signal: in its place on a terminal, otherwise whenever it changes.
 */
export async function showUntil(signal: AbortSignal, read: () => Promise<string>): Promise<void> {
  const inPlace = process.stdout.isTTY;
  let shown = "";
  while (!signal.aborted) {
    const text = await read().catch((error: unknown) => `${error instanceof Error ? error.message : error}\n`);
    if (signal.aborted) return;
    if (inPlace) {
      // Up to the first line of what was shown, and clear from there.
      const up = shown === "" ? "" : `\x1b[${rowsOf(shown, process.stdout.columns)}A`;
      process.stdout.write(`${up}\r\x1b[J${text}`);
    } else if (text !== shown) print(text);
    shown = text;
    await delay(everyMs, undefined, { signal }).catch(() => {});
  }
}

/** Rows that a text takes on a terminal, long lines wrapped. */
export function rowsOf(text: string, columns: number): number {
  const lines = text.split("\n").slice(0, -1);
  return lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / columns)), 0);
}
