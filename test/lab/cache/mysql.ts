import { join } from "node:path";
import { type PackageFile, unpackPackages } from "./debian.ts";
import type { Entry, EntryTools, Recipe } from "./entry.ts";
import { findLoader, libraryFiles, loaderCommand, type Program, writeWrappers } from "./programs.ts";
import { inPhase } from "./progress.ts";

/** An unpacked MySQL. The programs are plain executables: they bring their own loader, libraries and folders. */
export interface MysqlInstall {
  /** For example `9.7.4`. */
  readonly version: string;
  /**
   * The server. Its process id is the one that is started; run as root it wants `--user=root`. `basedir`, `plugin_dir`,
   * `lc_messages_dir`, `character_sets_dir` and `secure_file_priv` (NULL) are set on its command line, so my.cnf cannot.
   */
  readonly mysqld: string;
  readonly mysql: string;
  readonly mysqladmin: string;
  readonly mysqlbinlog: string;
  readonly mysqldump: string;
  readonly basedir: string;
  readonly pluginDir: string;
}

/** The LTS series that the lab runs. */
export const mysqlSeries = "9.7";

/** Only Debian's development suite has MySQL; the stable releases have MariaDB. */
const suite = "sid";
const packages = ["mysql-server-core", "mysql-client-core"];

/** What a cluster node loads. */
const plugins = ["semisync_source.so", "semisync_replica.so", "mysql_clone.so", "auth_socket.so"];

const basedir = "usr";
const pluginDir = "usr/lib/mysql/plugin";
const clientOptions = [`--plugin-dir=$prefix/${pluginDir}`, "--character-sets-dir=$prefix/usr/share/mysql/charsets"];
const programs: readonly Program[] = [
  {
    name: "mysqld",
    path: "usr/sbin/mysqld",
    options: [
      `--basedir=$prefix/${basedir}`,
      `--plugin-dir=$prefix/${pluginDir}`,
      "--lc-messages-dir=$prefix/usr/share/mysql",
      "--character-sets-dir=$prefix/usr/share/mysql/charsets",
      // Debian compiled in a folder that only its other packages make, and the server does not start without it.
      "--secure-file-priv=NULL",
    ],
  },
  ...["mysql", "mysqladmin", "mysqlbinlog", "mysqldump"].map((name) => ({
    name,
    path: `usr/bin/${name}`,
    options: clientOptions,
  })),
];

/** MySQL's own version in the version of its Debian package, for example `9.7.4` in `1:9.7.4-2+b1`. */
export function upstreamVersion(packageVersion: string): string {
  return packageVersion.replace(/^\d+:/, "").replace(/-[^-]*$/, "");
}

/**
 * Refuses another series than the lab's.
 *
 * @throws when the archive has moved on.
 */
export function checkSeries(files: readonly PackageFile[]): void {
  const found = files.find(({ name }) => name === "mysql-server-core")?.version ?? "none";
  if (!upstreamVersion(found).startsWith(`${mysqlSeries}.`)) {
    throw new Error(
      `The Debian archive has mysql-server-core ${found} and ${mysqlSeries} was expected. Nothing was fetched. Name an archive that has it, for example a snapshot, in PERCONA_ACTIONS_DEBIAN_MIRROR.`,
    );
  }
}

/** The entry's recipe. The key has the series, the entry the exact version: what is there is used without asking the archive. */
export function mysqlRecipe(tools: EntryTools, env: NodeJS.ProcessEnv): Recipe {
  return {
    name: "mysql",
    key: `mysql-${mysqlSeries}-debian-${process.arch}-2`,
    build: async (directory) => {
      const files = await unpackPackages(
        { entry: "mysql", suite, packages, check: checkSeries, directory },
        { run: tools.run, report: tools.report, env },
      );
      const packaged = files.find(({ name }) => name === "mysql-server-core")?.version ?? "";
      const loader = await findLoader(directory);
      const wrappers = await writeWrappers(directory, programs, loader);
      const witnesses = [
        ...wrappers,
        ...programs.map(({ path }) => path),
        ...plugins.map((name) => join(pluginDir, name)),
        ...(await libraryFiles(directory, loader)),
        "usr/share/mysql/english/errmsg.sys",
        "usr/share/mysql/charsets/Index.xml",
      ];
      await inPhase(tools.report, "mysql", "trial of the programs and plugins", async () => {
        for (const wrapper of wrappers) {
          const { stdout } = await tools.run([join(directory, wrapper), "--no-defaults", "--version"]);
          if (!stdout.includes(upstreamVersion(packaged))) {
            throw new Error(`${wrapper} --version says "${stdout.trim()}", and ${packaged} was unpacked.`);
          }
        }
        for (const name of plugins) {
          await tools.run([...loaderCommand(directory, loader), "--list", join(directory, pluginDir, name)]);
        }
      });
      return { version: packaged, witnesses };
    },
  };
}

/** Where things lie in a complete entry. */
export function mysqlInstall({ directory, version }: Entry): MysqlInstall {
  const program = (name: string): string => join(directory, "bin", name);
  return {
    version: upstreamVersion(version),
    mysqld: program("mysqld"),
    mysql: program("mysql"),
    mysqladmin: program("mysqladmin"),
    mysqlbinlog: program("mysqlbinlog"),
    mysqldump: program("mysqldump"),
    basedir: join(directory, basedir),
    pluginDir: join(directory, pluginDir),
  };
}
