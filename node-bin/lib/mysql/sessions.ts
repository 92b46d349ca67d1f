import { Failure } from "#contract/failure-reasons.ts";
import { inTurn } from "../host/turn.ts";
import { waitFor } from "../host/wait.ts";
import { type MysqlConnection, MysqlError, type Row, type SqlValue, type StatementOptions } from "./connection.ts";

/** Runs one statement. */
export type Query = (sql: string, values?: readonly SqlValue[], options?: Partial<StatementOptions>) => Promise<Row[]>;

/** One session of one life of one mysqld: when that life ends, every further statement fails. */
export interface Session {
  readonly query: Query;
  /** What `KILL` takes. */
  readonly id: number;
  /** Stands for the session: what is remembered of the server under it is forgotten with it. */
  readonly key: object;
}

/** The sessions that this process holds at one mysqld. */
export interface Sessions {
  /** Work that only reads, on a session kept for reading: it waits for no change. One at a time. */
  reading<T>(work: (session: Session) => Promise<T>): Promise<T>;
  /** Work that changes something, on a session kept for changes. One at a time. */
  changing<T>(work: (session: Session) => Promise<T>): Promise<T>;
  /** Work that waits for something or makes something wait, on a session kept for it: it must not hold up the changes. One at a time. */
  waiting<T>(work: (session: Session) => Promise<T>): Promise<T>;
  /** Work that may take long, or that needs session variables of its own, on a session that ends with it. */
  own<T>(variables: Readonly<Record<string, number>>, work: (session: Session) => Promise<T>): Promise<T>;
  /** Ends a session of the server's, or only its statement; one that is gone already is no error. Not to be called while reading. */
  kill(id: number, what?: "session" | "statement"): Promise<void>;
  /** Whether a session of the server's is one of this process. */
  isOurs(id: number): boolean;
  close(): Promise<void>;
}

/** Bounds of statements that say nothing else, milliseconds. */
const readTimeoutMs = 3000;
const changeTimeoutMs = 10_000;
/** How long a killed session may take to end, milliseconds. */
const killedGoneMs = 1000;

/** MySQL: no session has that id. */
const noSuchThread = 1094;

// Nothing of the server's own settings may change what a statement means, and no statement waits for a lock for ever.
const prepareSession =
  "SET SESSION sql_mode = 'STRICT_TRANS_TABLES', autocommit = 1, lock_wait_timeout = 5, innodb_lock_wait_timeout = 5, wait_timeout = 28800";

/** Keeps sessions at the mysqld that `connect` reaches, and makes new ones when they are lost. */
export const makeSessions = (connect: () => Promise<MysqlConnection>): Sessions => {
  const ours = new Set<number>();

  const open = async (): Promise<MysqlConnection> => {
    const connection = await connect();
    try {
      await connection.query(prepareSession, [], { timeoutMs: readTimeoutMs });
    } catch (error) {
      await connection.close();
      throw error;
    }
    ours.add(connection.id);
    return connection;
  };
  const end = async (connection: MysqlConnection): Promise<void> => {
    ours.delete(connection.id);
    await connection.close();
  };

  const sessionOf = (
    connection: MysqlConnection,
    usualTimeoutMs: number,
    whenGivenUp: () => Promise<void>,
  ): Session => ({
    id: connection.id,
    key: connection,
    query: async (sql, values = [], options = {}) => {
      try {
        return await connection.query(sql, values, { timeoutMs: usualTimeoutMs, ...options });
      } catch (error) {
        if (error instanceof Failure && error.reason === "timed-out") await whenGivenUp().catch(() => {});
        throw error;
      }
    },
  });

  const kept = (usualTimeoutMs: number, whenGivenUp: (id: number) => Promise<void>) => {
    const turn = inTurn();
    let connection: MysqlConnection | undefined;
    return {
      use: <T>(work: (session: Session) => Promise<T>): Promise<T> =>
        turn(async () => {
          if (!connection?.usable()) {
            if (connection) ours.delete(connection.id);
            connection = undefined;
            connection = await open();
          }
          const { id } = connection;
          return work(sessionOf(connection, usualTimeoutMs, () => whenGivenUp(id)));
        }),
      close: (): Promise<void> =>
        turn(async () => {
          if (connection) await end(connection);
          connection = undefined;
        }),
    };
  };

  // A read that was given up changes nothing; the reader is what kills the others, also when no new session is to be had.
  const reader = kept(readTimeoutMs, async () => {});
  const kill: Sessions["kill"] = (id, what = "session") =>
    reader.use(async ({ query }) => {
      try {
        await query(`KILL ${what === "statement" ? "QUERY " : ""}${id}`);
      } catch (error) {
        if (!(error instanceof MysqlError && error.errno === noSuchThread)) throw error;
      }
    });
  // What was given up must not take effect later, when nobody expects it any more.
  const endGivenUp = async (id: number): Promise<void> => {
    await kill(id);
    await waitFor(
      `session ${id} to end`,
      async () => {
        const rows = await reader.use(({ query }) => query("SHOW PROCESSLIST"));
        return rows.some((row) => row.Id === String(id)) ? undefined : true;
      },
      { everyMs: 20, deadlineMs: killedGoneMs },
    );
  };
  const changer = kept(changeTimeoutMs, endGivenUp);
  const waiter = kept(changeTimeoutMs, endGivenUp);

  return {
    reading: reader.use,
    changing: changer.use,
    waiting: waiter.use,
    own: async (variables, work) => {
      const connection = await open();
      try {
        const session = sessionOf(connection, changeTimeoutMs, () => endGivenUp(connection.id));
        const assignments = Object.entries(variables).map(([name, value]) => `${name} = ${value}`);
        if (assignments.length > 0) await session.query(`SET SESSION ${assignments.join(", ")}`);
        return await work(session);
      } finally {
        await end(connection);
      }
    },
    kill,
    isOurs: (id) => ours.has(id),
    close: async () => {
      await Promise.all([reader.close(), changer.close(), waiter.close()]);
    },
  };
};
