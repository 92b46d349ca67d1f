import { setTimeout as delay } from "node:timers/promises";
import type { Connection, RowDataPacket } from "mysql2/promise";
import { connect, type SqlLogin } from "#lab/sql.ts";
import type { Outcome, Write } from "./history.ts";

/** What the writers need. */
export interface WritersOptions {
  /** The write port of the load balancer. */
  readonly login: SqlLogin;
  /** Has columns `writer` and `sequence`, which are its key. */
  readonly table: string;
  readonly writers: number;
  /** Of all writers together, when nothing hinders them. */
  readonly perSecond: number;
  readonly now: () => number;
}

/** Writers at work. */
export interface Writers {
  /** Those that have ended, in the order of their ends. It grows. */
  readonly writes: readonly Write[];
  /** When writes were acknowledged, ascending. It grows. */
  readonly acknowledgedAt: readonly number[];
  /** How many writes each writer has sent, numbered from 1. */
  readonly sent: ReadonlyMap<number, number>;
  /** How many attempts to connect came to nothing. */
  failedConnections(): number;
  /** Resolves when the writes that are under way have ended. */
  stop(): Promise<void>;
}

/** A client that hears nothing for so long gives its connection up, milliseconds. */
const patienceMs = 3000;
/** How long a writer waits after it could not connect, milliseconds. */
const connectAgainMs = 20;

/**
 * Errors that say that the statement did nothing: the server is read-only, or had not begun with it. Everything else,
 * also what is probably harmless, counts as unknown.
 */
const refusals = new Set(["ER_OPTION_PREVENTS_STATEMENT", "ER_READ_ONLY_MODE", "ER_LOCK_DEADLOCK"]);

/** What an error of a write means for it. */
export const outcomeOf = (error: unknown): Outcome => {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return refusals.has(code) ? "refused" : "unknown";
};

const serverOf = async (connection: Connection): Promise<string> => {
  const [rows] = await connection.query<RowDataPacket[]>({ sql: "SELECT @@server_uuid AS uuid", timeout: patienceMs });
  return String(rows[0]?.uuid);
};

/** Starts clients that write without a pause to speak of, and connect again when they are cut off. */
export const startWriters = (options: WritersOptions): Writers => {
  const { login, table, now } = options;
  const everyMs = (1000 * options.writers) / options.perSecond;
  const writes: Write[] = [];
  const acknowledgedAt: number[] = [];
  const sent = new Map<number, number>();
  let failedConnections = 0;
  let going = true;

  const writeOne = async (connection: Connection, server: string, writer: number): Promise<boolean> => {
    const sequence = (sent.get(writer) ?? 0) + 1;
    sent.set(writer, sequence);
    const sentAt = now();
    const outcome = await connection
      .query({ sql: `INSERT INTO ${table} (writer, sequence) VALUES (?, ?)`, timeout: patienceMs }, [writer, sequence])
      .then((): Outcome => "acknowledged", outcomeOf);
    const answeredAt = now();
    writes.push({ writer, sequence, sentAt, answeredAt, outcome, server });
    if (outcome === "acknowledged") acknowledgedAt.push(answeredAt);
    return outcome === "acknowledged";
  };

  const session = async (writer: number): Promise<void> => {
    const connection = await connect(login);
    // An idle connection that is cut says so by an event; the next write fails then.
    connection.on("error", () => {});
    try {
      const server = await serverOf(connection);
      let due = now();
      while (going && (await writeOne(connection, server, writer))) {
        due = Math.max(now(), due + everyMs);
        await delay(Math.max(0, due - now()));
      }
    } finally {
      connection.destroy();
    }
  };

  const running = Array.from({ length: options.writers }, async (_, writer) => {
    while (going) {
      await session(writer).catch(async () => {
        failedConnections += 1;
        await delay(connectAgainMs);
      });
    }
  });
  return {
    writes,
    acknowledgedAt,
    sent,
    failedConnections: () => failedConnections,
    stop: async () => {
      going = false;
      await Promise.all(running);
    },
  };
};
