import type { SqlLogin } from "#lab/sql.ts";
import { type Client, startClient } from "./clients.ts";

const writers = 8;
const writesPerSecond = 300;

/** The longest time without an answer, milliseconds. */
export interface Interruption {
  /** Of it, the part in which at least one client wanted to write. */
  readonly refusedMs: number;
  /** All of it, with the pause of all clients that it may have begun with. */
  readonly silentMs: number;
}

/** Clients that write at the same time. */
export interface Crowd {
  readonly clients: readonly Client[];
  /** The longest interruption that ended since the last call. */
  interruption(): Interruption;
  /** How many writes were answered. */
  answered(): number;
  stop(): Promise<void>;
}

const none: Interruption = { refusedMs: 0, silentMs: 0 };

/** Starts 8 writers with 300 writes a second together. Each tries the places in turn when one fails. */
export const startCrowd = (name: string, places: () => Promise<readonly SqlLogin[]>): Crowd => {
  let last = performance.now();
  let longest = none;
  const answered = (): void => {
    const now = performance.now();
    const wanted = Math.min(...clients.map((client) => client.wantsSince() ?? now));
    const interruption = { refusedMs: now - Math.max(last, wanted), silentMs: now - last };
    if (interruption.silentMs > longest.silentMs) longest = interruption;
    last = now;
  };
  const clients = Array.from({ length: writers }, (_, n) =>
    startClient({ name: `${name}${n}`, places, everyMs: (1000 * writers) / writesPerSecond, answered }),
  );
  return {
    clients,
    interruption: () => {
      const found = longest;
      longest = none;
      return found;
    },
    answered: () => clients.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0),
    stop: async () => {
      await Promise.all(clients.map((client) => client.stop()));
    },
  };
};
