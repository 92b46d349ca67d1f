import { join } from "node:path";
import type { BinlogPosition, MysqlStatus, ReplicationStatus } from "#contract/agent-api.ts";
import { normalise } from "#contract/gtid.ts";
import { binlogEnd } from "./binlog-end.ts";
import type { Row } from "./connection.ts";
import type { Query } from "./sessions.ts";
import { type Dialect, dialect, parseVersion } from "./version.ts";

/** What does not change while one mysqld runs. */
export interface ServerFacts {
  /** As the server says it, for example `9.7.4-2`. */
  readonly server_version: string;
  readonly server_uuid: string;
  readonly lower_case_table_names: 0 | 1 | 2;
  /** InnoDB's page size, bytes. */
  readonly page_size: number;
  readonly datadir: string;
  /** Absolute. */
  readonly pid_file: string;
  /** The file that lists the binlogs, absolute; undefined when the server writes none. */
  readonly binlog_index: string | undefined;
}

/** What a look at mysqld gave: the contract's words, all that mysqld can tell. */
export type MysqlObservation = Omit<
  MysqlStatus,
  "up" | "seen_ms_ago" | "error" | "version" | "server_uuid" | "server_id" | "read_only" | "super_read_only"
> & {
  readonly version: string;
  readonly server_uuid: string;
  readonly server_id: number;
  readonly read_only: boolean;
  readonly super_read_only: boolean;
  readonly gtid_executed: string;
  readonly gtid_purged: string;
};

/** Facts with what they imply for statements. */
export interface Server {
  readonly facts: ServerFacts;
  readonly dialect: Dialect;
  /** Both plugins of semi-synchronous replication are loaded. */
  readonly semiSync: boolean;
}

const isOn = (value: string | null | undefined): boolean => value === "1" || value?.toUpperCase() === "ON";

/** A value that the server always has. */
const text = (row: Row | undefined, column: string): string => row?.[column] ?? "";

const positionOf = (file: string | null | undefined, offset: string | null | undefined): BinlogPosition | undefined =>
  file ? { file, offset: Number(offset ?? 0) } : undefined;

const receiverWords: Readonly<Record<string, ReplicationStatus["receiver"]>> = {
  Yes: "yes",
  No: "no",
  Connecting: "connecting",
};

/** A row of `SHOW REPLICA STATUS` in the contract's words; undefined when no source is configured. */
export const replicationOf = (row: Row | undefined): ReplicationStatus | undefined => {
  if (!row || text(row, "Source_Host") === "") return undefined;
  const sourceUuid = text(row, "Source_UUID").toLowerCase();
  const lag = row.Seconds_Behind_Source;
  const receiverErrno = Number(text(row, "Last_IO_Errno"));
  const applierErrno = Number(text(row, "Last_SQL_Errno"));
  const readPosition = positionOf(row.Source_Log_File, row.Read_Source_Log_Pos);
  return {
    source_host: text(row, "Source_Host"),
    ...(sourceUuid === "" ? {} : { source_uuid: sourceUuid }),
    receiver: receiverWords[text(row, "Replica_IO_Running")] ?? "no",
    applier: text(row, "Replica_SQL_Running") === "Yes" ? "yes" : "no",
    auto_position: text(row, "Auto_Position") === "1",
    received_gtid_set: normalise(text(row, "Retrieved_Gtid_Set")),
    ...(readPosition && { read_position: readPosition }),
    ...(lag === null || lag === undefined ? {} : { lag_seconds: Number(lag) }),
    ...(receiverErrno === 0 ? {} : { receiver_errno: receiverErrno, receiver_error: text(row, "Last_IO_Error") }),
    ...(applierErrno === 0 ? {} : { applier_errno: applierErrno, applier_error: text(row, "Last_SQL_Error") }),
  };
};

/** The default channel's row; others are not this project's. */
export const showReplication = async (query: Query): Promise<ReplicationStatus | undefined> => {
  const rows = await query("SHOW REPLICA STATUS");
  return replicationOf(rows.find((row) => (row.Channel_Name ?? "") === ""));
};

/** How the server treats the case of table names; there are three ways. */
const lettersOf = (value: string): 0 | 1 | 2 => (value === "1" ? 1 : value === "2" ? 2 : 0);

/** Reads what does not change, and which statements this server understands. */
export const readServer = async (query: Query): Promise<Server> => {
  const [row] = await query(
    "SELECT @@version v, @@server_uuid u, @@lower_case_table_names l, @@innodb_page_size p, @@datadir d, @@pid_file f, @@log_bin_index b",
  );
  const datadir = text(row, "d");
  const within = (path: string): string => (path.startsWith("/") ? path : join(datadir, path));
  const binlogIndex = text(row, "b");
  const spoken = dialect(parseVersion(text(row, "v")));
  const plugins = await query("SHOW GLOBAL VARIABLES WHERE Variable_name IN (?, ?)", [
    "rpl_semi_sync_source_enabled",
    "rpl_semi_sync_replica_enabled",
  ]);
  return {
    facts: {
      server_version: text(row, "v"),
      server_uuid: text(row, "u").toLowerCase(),
      lower_case_table_names: lettersOf(text(row, "l")),
      page_size: Number(text(row, "p")),
      datadir,
      pid_file: within(text(row, "f")),
      binlog_index: binlogIndex === "" ? undefined : within(binlogIndex),
    },
    dialect: spoken,
    semiSync: plugins.length === 2,
  };
};

/** Status values of semi-synchronous replication. */
export interface SemiSyncStatus {
  /** Replicas that acknowledge, as the source counts them. */
  readonly clients: number;
  /** Sessions that wait for an acknowledgement now. */
  readonly waitSessions: number;
  /** The running receiver acknowledges. */
  readonly acknowledging: boolean;
}

const semiSyncStatus = {
  clients: "Rpl_semi_sync_source_clients",
  waits: "Rpl_semi_sync_source_wait_sessions",
  status: "Rpl_semi_sync_replica_status",
} as const;

const semiSyncOf = (value: (which: keyof typeof semiSyncStatus) => string | null | undefined): SemiSyncStatus => ({
  clients: Number(value("clients") ?? 0),
  waitSessions: Number(value("waits") ?? 0),
  acknowledging: isOn(value("status")),
});

/** Reads the status values. */
export const showSemiSync = async (query: Query): Promise<SemiSyncStatus> => {
  const rows = await query("SHOW GLOBAL STATUS WHERE Variable_name IN (?, ?, ?)", Object.values(semiSyncStatus));
  const values = new Map(rows.map((row) => [text(row, "Variable_name"), text(row, "Value")]));
  return semiSyncOf((which) => values.get(semiSyncStatus[which]));
};

/** The same values as columns of one row, for a statement that asks for more than them. */
const semiSyncRow = [
  "(SELECT",
  Object.entries(semiSyncStatus)
    .map(([column, name]) => `MAX(IF(VARIABLE_NAME = '${name}', VARIABLE_VALUE, NULL)) ${column}`)
    .join(", "),
  "FROM performance_schema.global_status WHERE VARIABLE_NAME IN",
  `(${Object.values(semiSyncStatus)
    .map((name) => `'${name}'`)
    .join(", ")})) semi_sync`,
].join(" ");

/** Looks at the server. The replica's received set is read before its executed set, the executed set before the binlog's end. */
export const observeServer = async (query: Query, server: Server): Promise<MysqlObservation> => {
  const { facts, semiSync } = server;
  const replication = await showReplication(query);
  const columns = [
    "@@global.server_id id, @@global.read_only ro, @@global.super_read_only sro",
    "@@global.gtid_executed executed, @@global.gtid_purged purged",
    ...(semiSync
      ? [
          "@@global.rpl_semi_sync_source_enabled source",
          "@@global.rpl_semi_sync_replica_enabled replica",
          "@@global.rpl_semi_sync_source_wait_for_replica_count wait_count",
          "semi_sync.*",
        ]
      : []),
  ];
  const [row] = await query(`SELECT ${columns.join(", ")}${semiSync ? ` FROM ${semiSyncRow}` : ""}`);
  const status = semiSync ? semiSyncOf((which) => row?.[which]) : undefined;
  const end = facts.binlog_index === undefined ? undefined : binlogEnd(facts.binlog_index);
  return {
    version: facts.server_version,
    server_uuid: facts.server_uuid,
    server_id: Number(text(row, "id")),
    read_only: isOn(row?.ro),
    super_read_only: isOn(row?.sro),
    gtid_executed: normalise(text(row, "executed")),
    gtid_purged: normalise(text(row, "purged")),
    ...(end && { binlog_end: end }),
    ...(replication && { replication }),
    ...(status && {
      semi_sync: {
        source_enabled: isOn(row?.source),
        // Whoever counts acknowledgements wants to know what is done, not only what is set.
        replica_enabled: isOn(row?.replica) || status.acknowledging,
        wait_count: Number(text(row, "wait_count")),
        clients: status.clients,
        waiting: status.waitSessions,
      },
    }),
  };
};
