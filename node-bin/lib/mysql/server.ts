import type { BinlogPosition, ReplicationStatus } from "#contract/agent-api.ts";
import { accountNames } from "#contract/credentials.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { contains, isEmpty, normalise, subtract } from "#contract/gtid.ts";
import { monotonicMs, pause, waitFor } from "../host/wait.ts";
import { accountStatements, isComplete, readAccounts } from "./account-statements.ts";
import type { Account } from "./accounts.ts";
import { binlogEnd } from "./binlog-end.ts";
import { type MysqlConnection, MysqlError } from "./connection.ts";
import type { IncarnationSource } from "./incarnation.ts";
import {
  type MysqlObservation,
  observeServer,
  readServer,
  type Server,
  type ServerFacts,
  showReplication,
  showSemiSync,
} from "./observation.ts";
import { isClientSession, isDumpSession, type ServerSession, serverSessions } from "./server-sessions.ts";
import { makeSessions, type Query, type Session } from "./sessions.ts";

export type { MysqlObservation, ServerFacts } from "./observation.ts";

/** Where a replica receives from. */
export interface ReplicationSource {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Whether the stream must be encrypted. */
  readonly tls: boolean;
  /** The own address to connect from. */
  readonly bind?: string;
}

/**
 * Everything that this project does to one mysqld, and nothing else. Every statement is bounded; one that is given up
 * is killed at the server too. Errors of all: `MysqlError`, `credentials-refused`, `timed-out`, `disk-full`.
 */
export interface MysqlServer {
  /** What mysqld says of itself now, with the incarnation where the port knows how to tell it. */
  observe(): Promise<MysqlObservation>;
  /** What does not change while it runs. */
  serverFacts(): Promise<ServerFacts>;
  /** Which life of mysqld this is; undefined where the port cannot tell it. */
  incarnation(): Promise<string | undefined>;
  /** Makes the sessions that changes and waits use, so that the first of them need not. */
  warmUp(): Promise<void>;
  executedSet(): Promise<string>;
  purgedSet(): Promise<string>;
  hasExecuted(set: string): Promise<boolean>;
  /** Waits until everything in the set is executed. Errors: `timed-out` with what is missing. */
  waitForExecuted(set: string, timeoutMs: number): Promise<void>;
  /**
   * The executed set, and the end of the own binlog, which also covers commits that wait for an acknowledgement.
   * Errors: `internal` when the server writes no binlog.
   */
  logEnd(): Promise<{ readonly executedSet: string; readonly end: BinlogPosition }>;

  /**
   * Nobody writes any more, root neither. Waits for commits under way, also for those that wait for an acknowledgement.
   * Errors: `timed-out`: the server is as writable as before.
   */
  setSuperReadOnly(options?: { readonly timeoutMs?: number }): Promise<void>;
  /** Clients may write; the last step of a promotion. */
  open(): Promise<void>;

  /**
   * Names the source, with auto-position. Both threads must be stopped. What was received and not applied is thrown away, so the incarnation
   * changes.
   */
  configureSource(source: ReplicationSource): Promise<void>;
  /**
   * Names another source and keeps what was received and not applied yet: the receiver must be stopped and the applier running.
   * Errors: `replication-broken` when it is not so, or when relay logs were lost all the same (the incarnation has changed then).
   */
  changeSourceKeepingRelayLogs(source: ReplicationSource): Promise<void>;
  /**
   * Follows another source and keeps what was received: stops the receiver, lets the applier run, names the source, and receives from it,
   * acknowledging or not. Without a source so far it names one. Errors: as `changeSourceKeepingRelayLogs`.
   */
  follow(source: ReplicationSource, options: { readonly acknowledge: boolean }): Promise<void>;
  startReplication(options?: { readonly applierOnly?: boolean }): Promise<void>;
  /** Stops both threads; no error when they are stopped, or when there is no replication. */
  stopReplication(): Promise<void>;
  startReceiver(): Promise<void>;
  stopReceiver(): Promise<void>;
  /** Forgets the source and the relay logs, so the incarnation changes. Both threads must be stopped. */
  resetReplication(): Promise<void>;
  /**
   * Tells restored data which transactions they hold. The own binlogs are thrown away. Nothing is done when it is so already.
   * Errors: `errant-transactions` when something was executed that is not in the set.
   */
  setGtidPurged(set: string): Promise<void>;

  /** Whether this replica acknowledges what it receives. Restarts the receiver when that changes, because it takes effect only then. */
  setAcknowledging(on: boolean): Promise<void>;
  /**
   * The source side of semi-synchronous replication. Switching off tells commits that wait that all is well, so it is refused
   * (`too-few-ackers`) while any waits, unless somebody has decided that writes may be lost. Switching off keeps new sessions waiting
   * for up to a second; `unhurried` does not, where the ackers have left, and takes two.
   */
  setSourceSemiSync(
    options:
      | { readonly on: true; readonly waitCount: number }
      | { readonly on: false; readonly acceptLoss?: boolean; readonly unhurried?: boolean },
  ): Promise<void>;

  /**
   * Lets commits go that wait although enough ackers hold them; answers whether any waited. A replica that held a transaction before it
   * began to acknowledge, or before it reconnected, is not asked for it again (seen on 9.7), but its acknowledgement of a later one
   * covers it. So this writes one small transaction, only while commits wait. Errors: `timed-out`: too few acknowledge.
   */
  releaseHeldCommits(options?: { readonly timeoutMs?: number }): Promise<boolean>;

  /** Makes accounts what they should be. Complete ones are not touched, so that doing it again writes nothing. */
  ensureAccounts(accounts: readonly Account[]): Promise<void>;
  /** Users of complete accounts of ours. */
  accountUsers(): Promise<string[]>;
  /** No new session for the user, on this server only. */
  lockAccount(user: string): Promise<void>;
  unlockAccount(user: string): Promise<void>;
  /** Replication accounts that are locked on this server. */
  lockedAccounts(): Promise<string[]>;
  /** Ends all sessions of a replication account and waits until they are gone. */
  killDumpThreadsOf(user: string): Promise<void>;
  /** Ends the sessions of clients; answers how many. By default root and the accounts of this project stay, and replicas always do. */
  endClientSessions(options?: { readonly except?: readonly string[] }): Promise<number>;
  clientSessions(options?: { readonly except?: readonly string[] }): Promise<number>;
  /** Age of the oldest transaction of a client, seconds; 0 when there is none. */
  oldestTransactionSeconds(): Promise<number>;
  /** Lets the events run that were switched off because this server was a replica; answers how many. Not in the binlog. */
  enableEvents(): Promise<number>;

  /**
   * Begins a new binlog file. Errors: `too-few-ackers` while commits wait for an acknowledgement: the rotation would wait for them and
   * stop every other commit, and nothing could end it.
   */
  flushBinaryLogs(): Promise<void>;
  /**
   * Copies the running server into `dir`, which must not exist and whose parent must be mysqld's to write. Takes as long as
   * it takes. Errors: `interrupted` when the signal is aborted; `disk-full`. mysqld leaves an unfinished copy where it is.
   */
  cloneLocal(dir: string, signal: AbortSignal): Promise<void>;
  /** Ends the sessions; the next call makes new ones. */
  close(): Promise<void>;
}

/** What a port to one mysqld acts through. */
export interface MysqlServerOptions {
  readonly connect: () => Promise<MysqlConnection>;
  /** Tells and changes the incarnation; without it observations have none. */
  readonly incarnation?: IncarnationSource;
}

/** Stopping waits for the transaction that is being applied. */
const stopTimeoutMs = 60_000;
const readOnlyTimeoutMs = 30_000;
const sessionsGoneMs = 5000;
const releaseTimeoutMs = 3000;
/** How often the receiver of acknowledgements looks up while it listens to ackers, milliseconds, and a little more (seen on 9.7). */
const ackReceiverMs = 1050;
/** The longest timeout that semi-synchronous replication knows, 49 days, milliseconds. */
const longestAckTimeout = 4_294_967_295;
/** Reconnect each second for 30 years. */
const retries = 1_000_000_000;

const notAReplica = 1200;
const interrupted = 1317;
const tooManyConnections = 1040;

const adminUsers: readonly string[] = ["root", accountNames.backup, accountNames.monitor, accountNames.orchestrator];
const replicationUser = /^repl_\d+$/;

const sourceOptions = (source: ReplicationSource): { sql: string; values: (string | number)[] } => {
  const { host, port, user, password, tls, bind } = source;
  return {
    sql: [
      "SOURCE_HOST = ?, SOURCE_PORT = ?, SOURCE_USER = ?, SOURCE_PASSWORD = ?, SOURCE_BIND = ?",
      `SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = ${retries}, SOURCE_HEARTBEAT_PERIOD = 0.5`,
      tls ? "SOURCE_SSL = 1, GET_SOURCE_PUBLIC_KEY = 0" : "SOURCE_SSL = 0, GET_SOURCE_PUBLIC_KEY = 1",
    ].join(", "),
    values: [host, port, user, password, bind ?? ""],
  };
};

/** The port to the mysqld that `connect` reaches. */
export const makeMysqlServer = ({ connect, incarnation }: MysqlServerOptions): MysqlServer => {
  const sessions = makeSessions(connect);
  const known = new WeakMap<object, Server>();
  const discarding = <T>(work: () => Promise<T>): Promise<T> => (incarnation ? incarnation.discarding(work) : work());

  const serverOf = async ({ key, query }: Session): Promise<Server> => {
    const found = known.get(key);
    // Plugins may be loaded later.
    if (found?.semiSync) return found;
    const server = await readServer(query);
    known.set(key, server);
    return server;
  };

  const read = async (expression: string): Promise<string> =>
    sessions.reading(async ({ query }) => {
      const [row] = await query(`SELECT ${expression} AS value`);
      return row?.value ?? "";
    });

  const observe = async (): Promise<MysqlObservation> => {
    // An observation of one life must not go under the name of the next.
    for (let attempt = 1; ; attempt++) {
      const looked = await sessions.reading(async (session) => {
        const server = await serverOf(session);
        const before = await incarnation?.current(server.facts.pid_file);
        const observation = await observeServer(session.query, server);
        const after = await incarnation?.current(server.facts.pid_file);
        return { observation, before, after };
      });
      if (looked.before === looked.after) {
        return looked.after === undefined ? looked.observation : { ...looked.observation, incarnation: looked.after };
      }
      if (attempt === 5) {
        throw new Failure("internal", {
          message: `The incarnation changed from ${looked.before ?? "none"} to ${looked.after ?? "none"} while mysqld was looked at, five times in a row.`,
          changed: "Nothing was changed.",
        });
      }
    }
  };

  const change = (sql: string, timeoutMs?: number): Promise<void> =>
    sessions.changing(async ({ query }) => {
      await query(sql, [], timeoutMs === undefined ? {} : { timeoutMs });
    });

  const replication = (session: Session): Promise<ReplicationStatus | undefined> => showReplication(session.query);

  const withoutBinlog = <T>(work: (session: Session) => Promise<T>): Promise<T> =>
    sessions.own({ sql_log_bin: 0 }, work);

  const setLocked = (user: string, locked: boolean): Promise<void> =>
    withoutBinlog(async ({ query }) => {
      for (const { host } of (await readAccounts(query)).filter((account) => account.user === user)) {
        await query(`ALTER USER ?@? ACCOUNT ${locked ? "LOCK" : "UNLOCK"}`, [user, host]);
      }
    });

  const sessionsWhere = (wanted: (session: ServerSession) => boolean): Promise<ServerSession[]> =>
    sessions.reading(async ({ query }) =>
      (await serverSessions(query)).filter((session) => !sessions.isOurs(session.id) && wanted(session)),
    );

  const clients = (except: readonly string[] = adminUsers): Promise<ServerSession[]> =>
    sessionsWhere(
      (session) => isClientSession(session) && !except.includes(session.user) && !replicationUser.test(session.user),
    );

  const setSuperReadOnly: MysqlServer["setSuperReadOnly"] = async ({ timeoutMs = readOnlyTimeoutMs } = {}) => {
    // MySQL's own timeout is in whole seconds and applies to two locks in turn; the statement's is the one that counts.
    const seconds = Math.ceil(timeoutMs / 1000) + 1;
    const become = async ({ query }: Session): Promise<void> => {
      await query("SET GLOBAL super_read_only = ON", [], { timeoutMs }).catch(async (error: unknown) => {
        if (!(error instanceof Failure && error.reason === "timed-out")) throw error;
        // The session was killed; it may have come through just before.
        if ((await read("@@global.super_read_only")) === "1") return;
        throw new Failure("timed-out", {
          message: `Transactions under way kept mysqld from becoming read-only within ${timeoutMs} ms.`,
          changed: "The server is as writable as before.",
          next: "End the transactions, or mysqld.",
        });
      });
    };
    try {
      // On a session that is there already: making one takes longer than all the rest.
      await sessions.waiting(async (session) => {
        await session.query(`SET SESSION lock_wait_timeout = ${seconds}`);
        await become(session);
      });
    } catch (error) {
      // The server that is full of sessions is the one that has to be closed to them.
      if (!(error instanceof MysqlError && error.errno === tooManyConnections)) throw error;
      await sessions.changing(become);
    }
  };

  const changeSourceKeepingRelayLogs: MysqlServer["changeSourceKeepingRelayLogs"] = async (source) => {
    const lost = await sessions.changing(async (session) => {
      const before = await replication(session);
      if (before?.receiver !== "no" || before.applier !== "yes" || !before.auto_position) {
        const seen = before
          ? `the receiver is "${before.receiver}", the applier "${before.applier}", auto-position ${before.auto_position ? "on" : "off"}`
          : "there is no replication";
        throw new Failure("replication-broken", {
          message: `A source is changed with the receiver stopped, the applier running and auto-position on, so that relay logs stay; ${seen}.`,
          changed: "Nothing was changed.",
        });
      }
      const { sql, values } = sourceOptions(source);
      // Auto-position is left out: MySQL refuses to have it named while the applier runs, and keeps it as it is.
      await session.query(`CHANGE REPLICATION SOURCE TO ${sql}`, values, { secret: true });
      const after = await replication(session);
      return subtract(before.received_gtid_set, after?.received_gtid_set ?? "");
    });
    // The applier may have stopped by itself just before the change; MySQL then threw the relay logs away.
    if (!isEmpty(lost)) {
      await discarding(async () => {});
      throw new Failure("replication-broken", {
        message: `The relay logs with ${lost} were lost when the source was changed to ${source.host}.`,
        changed: "The source was changed; what was received and not applied is received again from there.",
      });
    }
  };

  const setGtidPurged: MysqlServer["setGtidPurged"] = (set) =>
    sessions.changing(async (session) => {
      const { query } = session;
      const { dialect } = await serverOf(session);
      const [row] = await query("SELECT @@global.gtid_executed executed, @@global.gtid_purged purged");
      const executed = row?.executed ?? "";
      if (contains(executed, set) && contains(set, executed)) return;
      const errant = subtract(executed, set);
      if (!isEmpty(errant)) {
        throw new Failure("errant-transactions", {
          message: `The data are to be told that they hold ${normalise(set)}, and ${errant} was executed here already.`,
          changed: "Nothing was changed.",
        });
      }
      const running = await replication(session);
      if (running && (running.receiver !== "no" || running.applier !== "no")) {
        throw new Failure("replication-broken", {
          message: "The executed set can be set only while replication is stopped, and it is running.",
          changed: "Nothing was changed.",
          next: "Stop replication, then run it again.",
        });
      }
      await query(dialect.resetBinaryLogs);
      await query("SET GLOBAL gtid_purged = ?", [normalise(set)]);
    });

  const setAcknowledging: MysqlServer["setAcknowledging"] = (on) =>
    sessions.changing(async (session) => {
      const { query } = session;
      const { semiSync } = await serverOf(session);
      if (!semiSync) {
        if (!on) return;
        throw new Failure("internal", {
          message: "The plugins of semi-synchronous replication are not loaded; the option file loads them.",
          changed: "Nothing was changed.",
        });
      }
      const variable = "rpl_semi_sync_replica_enabled";
      const [row] = await query(`SELECT @@global.${variable} AS value`);
      const isSet = row?.value === "1";
      const { acknowledging } = await showSemiSync(query);
      const receiver = (await replication(session))?.receiver ?? "no";
      const takesEffect = receiver !== "yes" || acknowledging === on;
      if (isSet === on && takesEffect) return;
      // Switched only while nothing is received: whoever finds this left half done finds a stopped receiver, not one that does
      // other than it says.
      if (receiver !== "no") await query("STOP REPLICA IO_THREAD", [], { timeoutMs: stopTimeoutMs });
      await query(`SET GLOBAL ${variable} = ${on ? "ON" : "OFF"}`);
      if (receiver !== "no") await query("START REPLICA IO_THREAD");
    });

  /** Errors: `too-few-ackers`. */
  const nobodyWaits = async (query: Query): Promise<void> => {
    const { waitSessions } = await showSemiSync(query);
    if (waitSessions === 0) return;
    throw new Failure("too-few-ackers", {
      message: `${waitSessions} commits wait for an acknowledgement; switching semi-sync off would tell their clients that they are safe.`,
      next: "Bring an acker back, or end mysqld.",
    });
  };

  /**
   * Has the server forget its ackers. The thread that receives acknowledgements looks up once a second while it listens to any, and
   * switching semi-sync off waits for it with a lock that every new session needs: readers would wait for that second too. It needs one
   * look to let an acker go and one to see that none is left. One that still follows connects again, and then readers do wait. Who else
   * reads binlogs, a change data capture for example, is left alone: it acknowledges nothing.
   */
  const forgetAckers = async (): Promise<void> => {
    const replicas = await sessionsWhere((session) => isDumpSession(session) && replicationUser.test(session.user));
    for (const { id } of replicas) await sessions.kill(id);
    const clients = async (): Promise<number> => (await sessions.reading(({ query }) => showSemiSync(query))).clients;
    for (const until = monotonicMs() + ackReceiverMs; (await clients()) > 0; await pause(20)) {
      if (monotonicMs() > until) return;
    }
    await pause(ackReceiverMs);
  };

  const setSourceSemiSync: MysqlServer["setSourceSemiSync"] = async (wanted) => {
    const enabled = "rpl_semi_sync_source_enabled";
    const isOn = async (session: Session): Promise<boolean> => {
      const { semiSync } = await serverOf(session);
      if (semiSync) return (await session.query(`SELECT @@global.${enabled} AS value`))[0]?.value === "1";
      if (!wanted.on) return false;
      throw new Failure("internal", {
        message: "The plugins of semi-synchronous replication are not loaded; the option file loads them.",
        changed: "Nothing was changed.",
      });
    };
    if (wanted.on) {
      await sessions.changing(async (session) => {
        const isSet = await isOn(session);
        await session.query(
          `SET GLOBAL rpl_semi_sync_source_timeout = ${longestAckTimeout},
           GLOBAL rpl_semi_sync_source_wait_point = AFTER_SYNC,
           GLOBAL rpl_semi_sync_source_wait_no_replica = ON,
           GLOBAL rpl_semi_sync_source_wait_for_replica_count = ${wanted.waitCount}`,
        );
        if (!isSet) await session.query(`SET GLOBAL ${enabled} = ON`);
      });
      return;
    }
    if (!(await sessions.changing(isOn))) return;
    if (wanted.unhurried) {
      await sessions.reading(({ query }) => nobodyWaits(query));
      await forgetAckers();
    }
    await sessions.changing(async ({ query }) => {
      if (!wanted.acceptLoss) await nobodyWaits(query);
      await query(`SET GLOBAL ${enabled} = OFF`);
    });
  };

  const follow: MysqlServer["follow"] = async (source, { acknowledge }) => {
    const before = await sessions.changing((session) => replication(session));
    if (before && before.receiver !== "no") await change("STOP REPLICA IO_THREAD", stopTimeoutMs);
    if (before?.auto_position) {
      if (before.applier !== "yes") await change("START REPLICA SQL_THREAD");
      await changeSourceKeepingRelayLogs(source);
    } else {
      if (before) await change("STOP REPLICA", stopTimeoutMs);
      await discarding(() =>
        sessions.changing(async ({ query }) => {
          const { sql, values } = sourceOptions(source);
          await query(`CHANGE REPLICATION SOURCE TO ${sql}, SOURCE_AUTO_POSITION = 1`, values, { secret: true });
        }),
      );
      await change("START REPLICA SQL_THREAD");
    }
    await sessions.changing(async (session) => {
      const { semiSync } = await serverOf(session);
      // While nothing is received, so that it takes effect with the first event.
      if (semiSync) await session.query(`SET GLOBAL rpl_semi_sync_replica_enabled = ${acknowledge ? "ON" : "OFF"}`);
      await session.query("START REPLICA IO_THREAD");
    });
  };

  const ensureAccounts: MysqlServer["ensureAccounts"] = async (accounts) => {
    const found = await sessions.reading(({ query }) => readAccounts(query));
    const missing = accounts.filter((account) => !isComplete(found, account));
    for (const replicated of [true, false]) {
      const part = missing.filter((account) => account.replicated === replicated);
      if (part.length === 0) continue;
      await sessions.own(replicated ? {} : { sql_log_bin: 0 }, async ({ query }) => {
        for (const account of part) {
          const exists = found.some((f) => f.user === account.user && f.host === account.host);
          for (const { sql, values, secret } of accountStatements(account, exists))
            await query(sql, values, { secret });
        }
      });
    }
  };

  const killDumpThreadsOf: MysqlServer["killDumpThreadsOf"] = async (user) => {
    let left: ServerSession[] = [];
    await waitFor(
      `the sessions of ${user} to end`,
      async () => {
        left = await sessionsWhere((session) => session.user === user);
        for (const { id } of left) await sessions.kill(id);
        return left.length === 0 ? true : undefined;
      },
      {
        everyMs: 20,
        deadlineMs: sessionsGoneMs,
        lastSeen: () => left.map(({ id, command, state }) => `${id}: ${command}, ${state}`).join("; "),
      },
    );
  };

  const enableEvents: MysqlServer["enableEvents"] = () =>
    withoutBinlog(async ({ query }) => {
      const events = await query(
        `SELECT EVENT_SCHEMA \`schema\`, EVENT_NAME name, DEFINER definer FROM information_schema.EVENTS
          WHERE STATUS IN ('REPLICA_SIDE_DISABLED', 'SLAVESIDE_DISABLED')`,
      );
      for (const { schema, name, definer } of events) {
        const quoted = (identifier: string): string => `\`${identifier.replaceAll("`", "``")}\``;
        const who = definer ?? "";
        const at = who.lastIndexOf("@");
        // Without its definer the event would run as whoever switched it on.
        await query(`ALTER DEFINER = ?@? EVENT ${quoted(schema ?? "")}.${quoted(name ?? "")} ENABLE`, [
          who.slice(0, at),
          who.slice(at + 1),
        ]);
      }
      return events.length;
    });

  const waitForExecuted: MysqlServer["waitForExecuted"] = async (set, timeoutMs) => {
    if (isEmpty(set)) return;
    await sessions.waiting(async ({ query }) => {
      const [row] = await query("SELECT WAIT_FOR_EXECUTED_GTID_SET(?, ?) AS late", [set, timeoutMs / 1000], {
        timeoutMs: timeoutMs + 2000,
      });
      if (row?.late === "0") return;
      const [now] = await query("SELECT @@global.gtid_executed AS executed");
      throw new Failure("timed-out", {
        message: `${subtract(set, now?.executed ?? "")} was not executed within ${timeoutMs} ms.`,
        changed: "Nothing was changed.",
      });
    });
  };

  const cloneLocal: MysqlServer["cloneLocal"] = async (dir, signal) => {
    signal.throwIfAborted();
    await sessions.own({ lock_wait_timeout: 300 }, async ({ id, query }) => {
      const stop = (): void => void sessions.kill(id, "statement").catch(() => {});
      signal.addEventListener("abort", stop);
      try {
        // No bound of its own: the signal ends it.
        await query("CLONE LOCAL DATA DIRECTORY = ?", [dir], { timeoutMs: 2 ** 31 - 1 });
      } catch (error) {
        if (signal.aborted && error instanceof MysqlError && error.errno === interrupted) {
          throw new Failure("interrupted", {
            message: `The clone into ${dir} was stopped.`,
            changed: "The unfinished copy is left there, to be removed.",
          });
        }
        throw error;
      } finally {
        signal.removeEventListener("abort", stop);
      }
    });
  };

  return {
    observe,
    serverFacts: () => sessions.reading(async (session) => (await serverOf(session)).facts),
    incarnation: () =>
      sessions.reading(async (session) => incarnation?.current((await serverOf(session)).facts.pid_file)),
    warmUp: async () => {
      const nothing = async ({ query }: Session): Promise<void> => void (await query("DO 0"));
      await Promise.all([sessions.changing(nothing), sessions.waiting(nothing)]);
    },
    executedSet: async () => normalise(await read("@@global.gtid_executed")),
    purgedSet: async () => normalise(await read("@@global.gtid_purged")),
    hasExecuted: async (set) => contains(await read("@@global.gtid_executed"), set),
    waitForExecuted,
    logEnd: () =>
      sessions.reading(async (session) => {
        const { facts } = await serverOf(session);
        const [row] = await session.query("SELECT @@global.gtid_executed AS executed");
        const end = facts.binlog_index === undefined ? undefined : binlogEnd(facts.binlog_index);
        if (!end) throw new Failure("internal", { message: "mysqld writes no binlog; log_bin is off." });
        return { executedSet: normalise(row?.executed ?? ""), end };
      }),
    setSuperReadOnly,
    open: () =>
      sessions.changing(async ({ query }) => {
        // This ends super_read_only too.
        await query("SET GLOBAL read_only = OFF");
      }),
    configureSource: (source) =>
      discarding(() =>
        sessions.changing(async ({ query }) => {
          const { sql, values } = sourceOptions(source);
          await query(`CHANGE REPLICATION SOURCE TO ${sql}, SOURCE_AUTO_POSITION = 1`, values, { secret: true });
        }),
      ),
    changeSourceKeepingRelayLogs,
    follow,
    startReplication: ({ applierOnly = false } = {}) => change(`START REPLICA${applierOnly ? " SQL_THREAD" : ""}`),
    stopReplication: () =>
      change("STOP REPLICA", stopTimeoutMs).catch((error: unknown) => {
        if (!(error instanceof MysqlError && error.errno === notAReplica)) throw error;
      }),
    startReceiver: () => change("START REPLICA IO_THREAD"),
    stopReceiver: () => change("STOP REPLICA IO_THREAD", stopTimeoutMs),
    resetReplication: () => discarding(() => change("RESET REPLICA ALL")),
    setGtidPurged,
    setAcknowledging,
    setSourceSemiSync,
    releaseHeldCommits: async ({ timeoutMs = releaseTimeoutMs } = {}) => {
      const { waitSessions } = await sessions.reading(({ query }) => showSemiSync(query));
      if (waitSessions === 0) return false;
      // Of the statements that are replicated the one that does least: it touches no table and nobody depends on it.
      await sessions.own({}, ({ query }) => query("FLUSH OPTIMIZER_COSTS", [], { timeoutMs }));
      return true;
    },
    ensureAccounts,
    accountUsers: async () => {
      const found = await sessions.reading(({ query }) => readAccounts(query));
      return found.filter(({ mark }) => mark !== undefined).map(({ user }) => user);
    },
    lockAccount: (user) => setLocked(user, true),
    unlockAccount: (user) => setLocked(user, false),
    lockedAccounts: async () => {
      const found = await sessions.reading(({ query }) => readAccounts(query));
      return found.filter(({ user, locked }) => locked && replicationUser.test(user)).map(({ user }) => user);
    },
    killDumpThreadsOf,
    endClientSessions: async ({ except } = {}) => {
      const found = await clients(except);
      for (const { id } of found) await sessions.kill(id);
      return found.length;
    },
    clientSessions: async ({ except } = {}) => (await clients(except)).length,
    oldestTransactionSeconds: () =>
      sessions.reading(async ({ query }) => {
        // A replica's own transactions run under the server's users.
        const [row] = await query(
          `SELECT COALESCE(MAX(TIMESTAMPDIFF(SECOND, t.trx_started, NOW())), 0) AS age
             FROM information_schema.INNODB_TRX t
             JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id
            WHERE p.USER NOT IN ('system user', 'event_scheduler')`,
        );
        return Number(row?.age ?? 0);
      }),
    enableEvents,
    flushBinaryLogs: () =>
      sessions.changing(async ({ query }) => {
        const { waitSessions } = await showSemiSync(query);
        if (waitSessions > 0) {
          throw new Failure("too-few-ackers", {
            message: `${waitSessions} commits wait for an acknowledgement, and the binlog cannot be rotated meanwhile.`,
          });
        }
        await query("FLUSH NO_WRITE_TO_BINLOG BINARY LOGS");
      }),
    cloneLocal,
    close: sessions.close,
  };
};
