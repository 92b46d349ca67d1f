import {
  type Connection,
  createConnection,
  type FieldPacket,
  type ResultSetHeader,
  type RowDataPacket,
} from "mysql2/promise";
import { accountNames } from "#contract/credentials.ts";
import { ports } from "#contract/ports.ts";
import type { ClusterResources } from "./cloud/index.ts";

/** Where a statement goes: through the balancer, or to one node's own socket. */
export type SqlTarget = { readonly balancer: "write" | "read" } | { readonly socket: string };

/** How to log in there. */
export interface SqlLogin {
  readonly user: string;
  readonly password?: string;
  readonly schema?: string;
  readonly place: { readonly host: string; readonly port: number } | { readonly socketPath: string };
}

/** What a statement gave. */
export type SqlResult =
  | { readonly columns: readonly string[]; readonly rows: readonly Readonly<Record<string, unknown>>[] }
  | { readonly affectedRows: number };

/** Clients log in as the application; on a node's socket, root needs no password. */
export function loginFor(cluster: ClusterResources, target: SqlTarget): SqlLogin {
  if ("socket" in target) return { user: "root", place: { socketPath: target.socket } };
  const { app } = cluster.credentials;
  return {
    user: cluster.application?.user ?? accountNames.app,
    ...(app === undefined ? {} : { password: app }),
    ...(cluster.application === undefined ? {} : { schema: cluster.application.schema }),
    place: {
      host: cluster.loadBalancerAddress,
      port: target.balancer === "write" ? ports.balancerWrite : ports.balancerRead,
    },
  };
}

/** A connection of its own for each statement, so that it goes where the balancer sends new clients. */
export async function runSql(
  login: SqlLogin,
  statement: string,
  parameters: readonly (string | number | null)[] = [],
): Promise<SqlResult> {
  const connection = await connect(login);
  try {
    const [result, fields] = await connection.query<RowDataPacket[] | ResultSetHeader>(statement, [...parameters]);
    if (!Array.isArray(result)) return { affectedRows: result.affectedRows };
    return { columns: (fields as FieldPacket[]).map(({ name }) => name), rows: result };
  } finally {
    connection.destroy();
  }
}

/** Opens a connection; the caller ends it. */
export function connect({ user, password, schema, place }: SqlLogin): Promise<Connection> {
  return createConnection({
    ...place,
    user,
    ...(password === undefined ? {} : { password }),
    ...(schema === undefined ? {} : { database: schema }),
    connectTimeout: 5000,
    supportBigNumbers: true,
    bigNumberStrings: true,
    dateStrings: true,
  });
}

/** The client's option file for an interactive session: a password belongs into no argument. */
export function clientOptionFile({ user, password, schema, place }: SqlLogin): string {
  const lines = [
    "[client]",
    `user=${user}`,
    ...(password === undefined ? [] : [`password="${password.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`]),
    ...("host" in place ? [`host=${place.host}`, `port=${place.port}`] : [`socket=${place.socketPath}`]),
    ...(schema === undefined ? [] : ["[mysql]", `database=${schema}`]),
  ];
  return `${lines.join("\n")}\n`;
}
