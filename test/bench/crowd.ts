import type { SqlLogin } from "#lab/sql.ts";
import { type Client, startClient } from "./clients.ts";

const writers = 8;
const writesPerSecond = 300;

/** Clients that write at the same time. */
export interface Crowd {
  readonly clients: readonly Client[];
  /** Longest time in which none of them was answered since the last call, milliseconds. */
  longestGap(): number;
  /** How many writes were answered. */
  answered(): number;
  stop(): Promise<void>;
}

/** Starts 8 writers with 300 writes a second together. Each tries the places in turn when one fails. */
export const startCrowd = (name: string, places: () => Promise<readonly SqlLogin[]>): Crowd => {
  const betweenMs = 1000 / writesPerSecond;
  const clients = Array.from({ length: writers }, (_, n) =>
    startClient(`${name}${n}`, places, { everyMs: writers * betweenMs, offsetMs: n * betweenMs }),
  );
  const answered = (): number => clients.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0);
  let last = performance.now();
  let seen = answered();
  let gap = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    const count = answered();
    if (count > seen) {
      gap = Math.max(gap, Math.max(...clients.map((client) => client.lastAnswer())) - last);
      last = Math.max(...clients.map((client) => client.lastAnswer()));
      seen = count;
    } else gap = Math.max(gap, now - last);
  }, 1);
  return {
    clients,
    longestGap: () => {
      const longest = gap;
      gap = 0;
      return longest;
    },
    answered,
    stop: async () => {
      clearInterval(timer);
      await Promise.all(clients.map((client) => client.stop()));
    },
  };
};
