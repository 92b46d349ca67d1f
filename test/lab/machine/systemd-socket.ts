import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import type { Command, CommandResult } from "./command.ts";

/** The socket that a node's systemctl and systemd-run talk to. */
export interface SystemdSocket {
  /** Cuts the connections that are open and frees the path. */
  close(): Promise<void>;
}

/** The variable that tells the node's systemctl where the socket is. */
export const systemdSocketVariable = "PERCONA_LAB_SYSTEMD";

/** Listens on a unix socket; `execute` runs each command. */
export async function listenForCommands(
  path: string,
  execute: (command: Command) => Promise<CommandResult>,
): Promise<SystemdSocket> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (connection) => {
    open.add(connection);
    connection.once("close", () => open.delete(connection));
    // A caller that was killed meanwhile, for example by the very stop it asked for.
    connection.on("error", () => connection.destroy());
    answer(connection, execute).catch((error: unknown) => connection.destroy(error as Error));
  });
  server.listen(path);
  await once(server, "listening");
  return {
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const connection of open) connection.destroy();
      await closed;
    },
  };
}

async function answer(connection: Socket, execute: (command: Command) => Promise<CommandResult>): Promise<void> {
  const request = parseRequest(await buffer(connection));
  const { exitCode, stdout, stderr } = await execute(request);
  connection.end(`${exitCode} ${Buffer.byteLength(stdout)}\n${stdout}${stderr}`);
}

/** A request: words that each end with a zero byte: how many arguments, the arguments, the environment. */
export function parseRequest(bytes: Buffer): Command {
  const [count = "0", ...words] = bytes.toString("utf8").split("\0").slice(0, -1);
  const argv = words.slice(0, Number(count));
  const environment = words.slice(Number(count)).map((entry): [string, string] => {
    const at = entry.indexOf("=");
    return [entry.slice(0, at), entry.slice(at + 1)];
  });
  return { argv, environment: Object.fromEntries(environment) };
}
