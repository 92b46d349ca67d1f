import { join } from "node:path";

/** Where things lie on one machine. Sockets have a folder of their own, because their paths must be short. */
export interface MachineLayout {
  /** Everything of the machine but its sockets; its disk. */
  readonly directory: string;
  /** First on the machine's PATH. */
  readonly bin: string;
  /** Option file and its folder, and the node's configuration. */
  readonly optionFile: string;
  readonly optionFolder: string;
  readonly nodeConfig: string;
  readonly forwarderConfig: string;
  readonly orchestratorConfig: string;
  /** Holds the data directory and what is built beside it. */
  readonly data: string;
  readonly datadir: string;
  /** Orchestrator's. */
  readonly orchestratorFolder: string;
  /** The scripts' own state. */
  readonly state: string;
  readonly log: string;
  readonly temporary: string;
  readonly home: string;
  readonly sockets: string;
  readonly mysqlSocket: string;
  readonly systemdSocket: string;
  /** HAProxy's. */
  readonly forwarderSocket: string;
}

/** A path of a unix socket has at most this many bytes (unix(7), less the final zero). */
const longestSocketPath = 107;

/**
 * Lays out a machine.
 *
 * @param socketFolder a short path that is this machine's alone.
 * @throws when a socket's path would be too long.
 */
export function machineLayout(directory: string, socketFolder: string): MachineLayout {
  const etc = join(directory, "etc");
  const data = join(directory, "data");
  const layout = {
    directory,
    bin: join(directory, "bin"),
    optionFile: join(etc, "my.cnf"),
    optionFolder: join(etc, "conf.d"),
    nodeConfig: join(etc, "node.json"),
    forwarderConfig: join(etc, "haproxy.cfg"),
    orchestratorConfig: join(etc, "orchestrator.conf.json"),
    data,
    datadir: join(data, "mysql"),
    orchestratorFolder: join(data, "orchestrator"),
    state: join(directory, "state"),
    log: join(directory, "log"),
    temporary: join(directory, "tmp"),
    home: join(directory, "home"),
    sockets: socketFolder,
    mysqlSocket: join(socketFolder, "mysql.sock"),
    systemdSocket: join(socketFolder, "systemd.sock"),
    forwarderSocket: join(socketFolder, "haproxy.sock"),
  };
  // HAProxy binds its socket under a longer name and renames it.
  const longest = `${layout.forwarderSocket}.4194304.tmp`;
  if (Buffer.byteLength(longest) > longestSocketPath) {
    throw new Error(
      `The path ${longest} is longer than the ${longestSocketPath} bytes that a socket may have. Nothing was started. Set TMPDIR to a short folder, for example /tmp, and run it again.`,
    );
  }
  return layout;
}

/** The file that a unit's output is appended to. */
export const journalPath = (layout: MachineLayout, unit: string): string => join(layout.log, `${unit}.log`);
