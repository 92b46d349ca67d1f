import type { Query } from "./sessions.ts";

/** A session as `SHOW PROCESSLIST` shows it; its statement, which may hold secrets, is left out. */
export interface ServerSession {
  readonly id: number;
  readonly user: string;
  readonly host: string;
  readonly command: string;
  readonly state: string;
}

/** Reads all sessions. `SHOW PROCESSLIST` also works where the performance schema is off. */
export const serverSessions = async (query: Query): Promise<ServerSession[]> => {
  const rows = await query("SHOW PROCESSLIST");
  return rows.map((row) => ({
    id: Number(row.Id),
    user: row.User ?? "",
    host: row.Host ?? "",
    command: row.Command ?? "",
    state: row.State ?? "",
  }));
};

const ofTheServer = new Set(["system user", "event_scheduler", "unauthenticated user"]);

/** Whether it sends the binlog to a replica. */
export const isDumpSession = ({ command }: ServerSession): boolean => command.startsWith("Binlog Dump");

/** Whether it is a client's: not a thread of the server's own, nor a replica that receives. */
export const isClientSession = (session: ServerSession): boolean =>
  !ofTheServer.has(session.user) && session.command !== "Daemon" && !isDumpSession(session);
