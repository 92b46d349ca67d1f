import { setTimeout as delay } from "node:timers/promises";
import type { Connection } from "mysql2/promise";
import type { Lab } from "#lab/lab.ts";
import { connect, type SqlLogin } from "#lab/sql.ts";

/** A client that writes one row after the other to one of several places, the next one when a place fails. */
export interface Client {
  /** When a write was answered last, milliseconds on the monotonic clock. */
  lastAnswer(): number;
  /** Writes that were answered, by key. */
  readonly acknowledged: readonly string[];
  /** Attempts to connect that failed since the last call, with how long ago the last write was answered, milliseconds. */
  failedConnections(): number;
  stop(): Promise<void>;
}

/** The table that the clients write to. */
export const makeTable = (lab: Lab): Promise<unknown> =>
  lab.sql("write", "CREATE TABLE app.bench (k VARCHAR(60) PRIMARY KEY)");

/** When a client writes: every so many milliseconds, so many after the others begin. */
export interface Beat {
  readonly everyMs: number;
  readonly offsetMs: number;
}

/**
 * Starts a client. It writes on its beat however long a write took, and beats that it missed are left out: clients that pause after
 * each answer instead fall into step at the first interruption, and then write all at once with nothing between.
 */
export const startClient = (
  name: string,
  places: () => Promise<readonly SqlLogin[]>,
  { everyMs, offsetMs }: Beat,
): Client => {
  const acknowledged: string[] = [];
  let going = true;
  let last = performance.now();
  let failed = 0;
  const start = performance.now() + offsetMs;
  let beat = 0;
  const nextBeat = async (): Promise<void> => {
    const now = performance.now();
    beat = Math.max(beat + 1, Math.ceil((now - start) / everyMs));
    await delay(start + beat * everyMs - now);
  };
  const run = async (): Promise<void> => {
    let connection: Connection | undefined;
    await delay(offsetMs);
    for (let n = 0, place = 0; going; n++) {
      const key = `${name}-${n}`;
      try {
        if (!connection) {
          const all = await places();
          try {
            connection = await connect(all[place % all.length] as SqlLogin);
          } catch (error) {
            failed += 1;
            throw error;
          }
          connection.on("error", () => {});
        }
        await connection.query({ sql: "INSERT INTO app.bench (k) VALUES (?)", values: [key], timeout: 10_000 });
        acknowledged.push(key);
        last = performance.now();
        await nextBeat();
      } catch {
        connection?.destroy();
        connection = undefined;
        place += 1;
        await delay(1);
      }
    }
    connection?.destroy();
  };
  const done = run();
  return {
    acknowledged,
    lastAnswer: () => last,
    failedConnections: () => {
      const count = failed;
      failed = 0;
      return count;
    },
    stop: async () => {
      going = false;
      await Promise.race([done, delay(15_000)]);
    },
  };
};
