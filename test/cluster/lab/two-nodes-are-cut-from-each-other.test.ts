import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server, type Socket, connect as tcpConnect } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { peerCuts, peerCutsMissing } from "#lab/peer-cuts.ts";
import { waitUntil } from "#lab/wait.ts";

const reaperScript = fileURLToPath(new URL("../../lab/hypervisor/reaper.sh", import.meta.url));
const missing = await peerCutsMissing();
const [one, other, third] = ["127.101.0.1", "127.101.0.2", "127.101.0.3"] as const;

describe.skipIf(missing !== undefined)(
  `two nodes are cut from each other${missing === undefined ? "" : `: ${missing}`}`,
  () => {
    const cuts = peerCuts(`test_${process.pid}`);
    let server: Server;
    beforeAll(async () => {
      server = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(9000, one);
      await once(server, "listening");
    });
    afterAll(async () => {
      await cuts.heal();
      server?.close();
    });

    /** A connection from an address; what comes back is collected. */
    const open = async (from: string): Promise<{ socket: Socket; received(): string }> => {
      const socket = tcpConnect({ host: one, port: 9000, localAddress: from });
      let text = "";
      socket.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      await once(socket, "connect", { signal: AbortSignal.timeout(1000) });
      return { socket, received: () => text };
    };

    it("open and new connections hang, a third node is not concerned, and healing gives back what was sent meanwhile", async () => {
      const { socket, received } = await open(other);
      socket.write("before ");
      await waitUntil("the echo comes", () => received() === "before " || received(), 2000);

      await cuts.cut(one, other);
      socket.write("meanwhile");
      await expect(open(other)).rejects.toThrow("aborted");
      expect(received()).toBe("before ");
      const bystander = await open(third);
      bystander.socket.write("hello");
      await waitUntil(
        "a third node gets an answer",
        () => bystander.received() === "hello" || bystander.received(),
        2000,
      );

      await cuts.heal();
      await waitUntil("what was sent arrives", () => received() === "before meanwhile" || received(), 10_000);
      (await open(other)).socket.destroy();
      socket.destroy();
      bystander.socket.destroy();
    });

    it("the cut ends with a lab that is killed", async () => {
      const run = `killed_${process.pid}`;
      const reaper = spawn("/bin/sh", [reaperScript, run], { stdio: ["pipe", "ignore", "inherit"] });
      const killed = peerCuts(run, (nft) => reaper.stdin.write(`cuts ${nft}\n`));
      await killed.cut(one, other);
      await expect(open(other)).rejects.toThrow("aborted");
      // Its end of the pipe closes with the lab, without a farewell.
      reaper.stdin.end();
      await once(reaper, "exit");
      (await open(other)).socket.destroy();
    });
  },
);
