import { setTimeout as delay } from "node:timers/promises";
import type { Connection } from "mysql2/promise";
import type { Lab } from "#lab/lab.ts";
import { connect, type SqlLogin } from "#lab/sql.ts";

/** A client that writes one row after the other to one of several places, the next one when a place fails. */
export interface Client {
  /** Since when it wants to write, and has no answer, milliseconds on the monotonic clock; undefined while it pauses. */
  wantsSince(): number | undefined;
  /** Writes that were answered, by key. */
  readonly acknowledged: readonly string[];
  /** Attempts to connect that failed since the last call. */
  failedConnections(): number;
  stop(): Promise<void>;
}

/** The table that the clients write to. */
export const makeTable = (lab: Lab): Promise<unknown> =>
  lab.sql("write", "CREATE TABLE app.bench (k VARCHAR(60) PRIMARY KEY)");

/** How a client writes. */
export interface Writes {
  readonly name: string;
  /** Where to connect, asked anew for each connection. */
  places(): Promise<readonly SqlLogin[]>;
  /** One write every so many milliseconds, however long a write took; those that it could not begin in time are left out. */
  readonly everyMs: number;
  /** A write was answered. */
  answered(): void;
}

/** Starts a client. */
export const startClient = ({ name, places, everyMs, answered }: Writes): Client => {
  const acknowledged: string[] = [];
  let going = true;
  let wantsSince: number | undefined;
  let failed = 0;
  const start = performance.now();
  let beat = 0;
  const nextBeat = async (): Promise<void> => {
    const now = performance.now();
    beat = Math.max(beat + 1, Math.ceil((now - start) / everyMs));
    await delay(start + beat * everyMs - now);
  };
  const run = async (): Promise<void> => {
    let connection: Connection | undefined;
    for (let n = 0, place = 0; going; n++) {
      const key = `${name}-${n}`;
      try {
        wantsSince ??= performance.now();
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
        answered();
        wantsSince = undefined;
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
    wantsSince: () => wantsSince,
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
