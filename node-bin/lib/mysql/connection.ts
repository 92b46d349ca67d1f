import { connect } from "node:net";
import { type Connection, createConnection, type QueryError } from "mysql2";
import { Failure } from "#contract/failure-reasons.ts";

/** What may stand for a `?`: numbers and texts, escaped by the driver. */
export type SqlValue = string | number | bigint;

/** One row; every value as MySQL writes it as text, so that no number loses digits. */
export type Row = Readonly<Record<string, string | null>>;

/** Bounds and precautions of one statement. */
export interface StatementOptions {
  /** The connection is given up when the server has not answered by then, milliseconds. */
  readonly timeoutMs: number;
  /** The values hold a password: nothing of them or of what the parser quotes gets into an error. */
  readonly secret?: boolean;
}

/** One session of one mysqld. One statement at a time. */
export interface MysqlConnection {
  /** What the server calls this session: `KILL` takes it. */
  readonly id: number;
  /** False once it is closed, lost or given up. */
  usable(): boolean;
  /**
   * Runs one statement; its rows, none for statements without a result. Errors: `MysqlError`; `timed-out`, after which the
   * connection is no longer usable and the server may still be at it; `disk-full`.
   */
  query(sql: string, values: readonly SqlValue[], options: StatementOptions): Promise<Row[]>;
  /** Ends the session; never fails. */
  close(): Promise<void>;
}

/** An error of MySQL, or of the way to it, that needs no name of its own. It never holds a value of the statement. */
export class MysqlError extends Error {
  /** MySQL's error number; 0 when the error is not the server's. */
  readonly errno: number;
  /** MySQL's or the system's symbol, for example `ER_OPTION_PREVENTS_STATEMENT` or `ECONNREFUSED`. */
  readonly code: string;

  constructor(message: string, errno: number, code: string) {
    super(message);
    this.name = "MysqlError";
    this.errno = errno;
    this.code = code;
  }
}

/** A unix socket of this machine, or an address. */
export type MysqlPlace = { readonly socketPath: string } | { readonly host: string; readonly port: number };

/** Where and as whom to connect. */
export type ConnectOptions = MysqlPlace & {
  readonly user: string;
  /** None for an account that is known by the socket's peer. */
  readonly password?: string;
  /** Time for the whole way: connection, greeting and log-in, milliseconds. */
  readonly connectTimeoutMs?: number;
  /** The own address to connect from. */
  readonly sourceAddress?: string;
  /** Told at once when the other side ends the connection or it breaks. */
  readonly onLost?: () => void;
};

const usualConnectTimeoutMs = 2000;

/** Wrong password, none given, locked, or not from this host. */
const refusals = new Set([1045, 1130, 1698, 3118]);

/** MySQL's numbers for "no space left": its own, and those of the file functions with system error 28 in the text. */
const isDiskFull = (error: QueryError): boolean =>
  error.errno === 1021 || error.errno === 1114 || /\b(?:Errcode|errno|OS errno)[: ]*28\b/.test(error.message);

const placeOf = (to: ConnectOptions): string => ("socketPath" in to ? to.socketPath : `${to.host}:${to.port}`);

const connectError = (error: QueryError, options: ConnectOptions): Error => {
  const { user } = options;
  if (refusals.has(error.errno ?? 0)) {
    return new Failure("credentials-refused", {
      message: `mysqld at ${placeOf(options)} refused the account ${user} (error ${error.errno}): ${error.message}.`,
      changed: "Nothing was changed.",
    });
  }
  return new MysqlError(
    `mysqld at ${placeOf(options)} did not let ${user} in: ${error.message}`,
    error.errno ?? 0,
    error.code,
  );
};

const short = (sql: string): string => {
  const line = sql.replace(/\s+/g, " ").trim();
  return line.length > 120 ? `${line.slice(0, 120)}…` : line;
};

const statementError = (error: QueryError, sql: string, values: readonly SqlValue[], secret: boolean): Error => {
  const errno = error.errno ?? 0;
  // A parse error quotes the statement from where it went wrong, in pieces that no replacement would find.
  let said = secret && errno === 1064 ? "the statement could not be parsed" : error.message;
  if (secret) for (const value of values) said = said.replaceAll(String(value), "…");
  const message = `${short(sql)}: ${said}`;
  if (isDiskFull(error)) return new Failure("disk-full", { message });
  return new MysqlError(message, errno, error.code);
};

const wrap = (connection: Connection, onLost: () => void): MysqlConnection => {
  let usable = true;
  const pending = new Set<(error: Error) => void>();
  const giveUp = (): void => {
    usable = false;
    connection.destroy();
    // The driver does not tell them.
    for (const fail of pending) fail(new MysqlError("the connection was closed", 0, "CLOSED"));
  };
  // Without a listener a lost connection would end the process.
  const lost = (): void => {
    if (!usable) return;
    giveUp();
    onLost();
  };
  connection.on("error", lost);
  connection.on("end", lost);
  return {
    id: connection.threadId ?? 0,
    usable: () => usable,
    query: (sql, values, { timeoutMs, secret = false }) =>
      new Promise((resolve, reject) => {
        const fail = (error: Error): void => {
          clearTimeout(timer);
          pending.delete(fail);
          reject(error);
        };
        const timer = setTimeout(() => {
          fail(
            new Failure("timed-out", {
              message: `mysqld did not answer within ${timeoutMs} ms: ${short(sql)}.`,
              changed: "The server may still carry the statement out.",
              next: "Read the server's state, then run it again.",
            }),
          );
          giveUp();
        }, timeoutMs);
        pending.add(fail);
        connection.query({ sql, values: [...values] }, (error, rows) => {
          if (error) {
            fail(statementError(error, sql, values, secret));
            if (error.fatal) giveUp();
          } else {
            clearTimeout(timer);
            pending.delete(fail);
            resolve(Array.isArray(rows) ? (rows as Row[]) : []);
          }
        });
      }),
    close: () =>
      new Promise((resolve) => {
        if (!usable) return resolve();
        usable = false;
        const timer = setTimeout(() => {
          giveUp();
          resolve();
        }, 1000);
        connection.end(() => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
};

/**
 * Connects and logs in. An `auth_socket` account needs no password: the server asks the kernel who is at the other end.
 * Errors: `credentials-refused`; `MysqlError` when nobody listens or the server breaks off; `timed-out`.
 */
export const connectMysql = (options: ConnectOptions): Promise<MysqlConnection> =>
  new Promise((resolve, reject) => {
    const { user, password, connectTimeoutMs = usualConnectTimeoutMs, sourceAddress } = options;
    const connection = createConnection({
      ...("socketPath" in options ? { socketPath: options.socketPath } : { host: options.host, port: options.port }),
      user,
      ...(password === undefined ? {} : { password }),
      // The driver does not know addresses to connect from.
      ...(sourceAddress === undefined || "socketPath" in options
        ? {}
        : { stream: () => connect({ host: options.host, port: options.port, localAddress: sourceAddress }) }),
      // Longer than the timer below, which covers the log-in as well.
      connectTimeout: connectTimeoutMs + 1000,
      multipleStatements: false,
      // The encoding is named because the driver would otherwise complain about JSON columns.
      typeCast: (field) => field.string("utf8"),
    });
    const timer = setTimeout(() => {
      connection.destroy();
      reject(
        new Failure("timed-out", {
          message: `mysqld at ${placeOf(options)} did not let ${user} in within ${connectTimeoutMs} ms.`,
          changed: "Nothing was changed.",
        }),
      );
    }, connectTimeoutMs);
    const failed = (error: QueryError): void => {
      clearTimeout(timer);
      connection.destroy();
      reject(connectError(error, options));
    };
    connection.on("error", failed);
    connection.once("connect", () => {
      clearTimeout(timer);
      const wrapped = wrap(connection, options.onLost ?? (() => {}));
      connection.removeListener("error", failed);
      resolve(wrapped);
    });
  });
