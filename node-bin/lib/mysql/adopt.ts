import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "#contract/failure-reasons.ts";
import { writeDurably } from "../host/files.ts";
import { type PrivateMysqld, withPrivateServer } from "./initialise.ts";
import type { MysqlServer } from "./server.ts";

/** A system user's name as Debian allows it; it stands in a statement that cannot have placeholders. */
const userName = /^[a-z_][a-z0-9_-]{0,31}$/;

const loginBySocket = (osUser: string): string =>
  [
    // Each node has its own root, so nothing of it may reach the binlog.
    "SET sql_log_bin = 0;",
    `CREATE USER IF NOT EXISTS 'root'@'localhost' IDENTIFIED WITH auth_socket AS '${osUser}';`,
    `ALTER USER 'root'@'localhost' IDENTIFIED WITH auth_socket AS '${osUser}' ACCOUNT UNLOCK;`,
    "GRANT ALL PRIVILEGES ON *.* TO 'root'@'localhost' WITH GRANT OPTION;",
    "",
  ].join("\n");

/**
 * Opens a data directory that this project did not make, and whose passwords it does not know: root logs in by socket as
 * the system user `adminOsUser` from then on. The data stay where they are. Errors: those of `withPrivateServer`.
 */
export const withAdoptedServer = async <T>(
  options: Omit<PrivateMysqld, "initFile"> & { readonly adminOsUser: string },
  work: (server: MysqlServer) => Promise<T>,
): Promise<T> => {
  if (!userName.test(options.adminOsUser)) {
    throw new Failure("bad-input", { message: `"${options.adminOsUser}" is not a name that a system user can have.` });
  }
  const folder = await mkdtemp(join(tmpdir(), "adopt-"));
  await chmod(folder, 0o755);
  try {
    const initFile = join(folder, "init.sql");
    // mysqld reads it as its own user; there is no secret in it.
    await writeDurably(initFile, loginBySocket(options.adminOsUser), 0o644);
    const { mysqld, defaultsFile, datadir, osUser } = options;
    return await withPrivateServer({ mysqld, defaultsFile, datadir, osUser, initFile }, work);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
