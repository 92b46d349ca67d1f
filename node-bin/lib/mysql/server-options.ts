import { join } from "node:path";
import { writeDurably } from "../host/files.ts";

/** What only this node's mysqld is told, beyond what all nodes share. */
export interface ServerOptions {
  /** Unique in the cluster, allocated once, 1 to 2^32 - 1. */
  readonly serverId: number;
  /** The address under which the other nodes reach this one. */
  readonly reportHost: string;
}

/** File name in the folder that the main option file includes. */
export const serverOptionsFile = "percona-actions.cnf";

/** The option file's text. */
export const serverOptionsText = ({ serverId, reportHost }: ServerOptions): string =>
  `# Written at each bootstrap of the node; changes made here are lost.\n[mysqld]\nserver_id = ${serverId}\nreport_host = ${reportHost}\n`;

/** Writes the option file so that mysqld finds the old text or the new one, never half of it. */
export const writeServerOptions = (includeDir: string, options: ServerOptions): Promise<void> =>
  writeDurably(join(includeDir, serverOptionsFile), serverOptionsText(options), 0o644);
