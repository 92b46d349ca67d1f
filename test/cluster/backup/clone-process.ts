/** A clone in a process of its own, to be killed. Arguments: option file, mysqld, socket, data directory, work folder. */
import { cloneEngine } from "#node/lib/backup/clone-engine.ts";
import { connectMysql } from "#node/lib/mysql/connection.ts";
import { makeMysqlServer } from "#node/lib/mysql/server.ts";

const [defaultsFile = "", mysqld = "", socketPath = "", datadir = "", workDir = ""] = process.argv.slice(2);
const engine = cloneEngine({
  source: makeMysqlServer({ connect: () => connectMysql({ socketPath, user: "root" }) }),
  program: { mysqld, defaultsFile, osUser: "root" },
  datadir,
  workDir,
});
await engine.copy({ signal: AbortSignal.timeout(120_000), progress: console.log });
