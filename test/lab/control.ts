import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { Server } from "node:net";
import { json } from "node:stream/consumers";
import { messageOf } from "#contract/failure-reasons.ts";
import type { LabControls, LabNode, MachineOperation, MemoryUse } from "./controls.ts";
import type { LabDescription } from "./state.ts";

/** What the control port carries: the name of a function of `LabControls` and its arguments. */
interface Call {
  readonly method: keyof LabControls;
  readonly args: readonly unknown[];
}

const secretHeader = "x-lab-secret";

/** The server of a lab's control port. It refuses everything until `serve` is called. */
export function controlServer(secret: string): { readonly server: Server; serve(controls: LabControls): void } {
  let serving: LabControls | undefined;
  const answer = async (incoming: IncomingMessage): Promise<{ status: number; body: unknown }> => {
    if (incoming.headers[secretHeader] !== secret) return { status: 403, body: { error: "wrong secret" } };
    if (serving === undefined) return { status: 503, body: { error: "The lab is still starting." } };
    const { method, args } = (await json(incoming)) as Call;
    try {
      // The secret was right: the caller is this lab's own command line, of this very version.
      const call = serving[method] as (...args: readonly unknown[]) => Promise<unknown>;
      // JSON has null where an argument was left out.
      return { status: 200, body: { result: await call(...args.map((arg) => arg ?? undefined)) } };
    } catch (error) {
      return { status: 500, body: { error: messageOf(error) } };
    }
  };
  const server = createServer((incoming: IncomingMessage, outgoing: ServerResponse) => {
    answer(incoming)
      .then(({ status, body }) => {
        outgoing.writeHead(status, { "content-type": "application/json", connection: "close" });
        outgoing.end(JSON.stringify(body));
      })
      .catch(() => outgoing.destroy());
  });
  return {
    server,
    serve: (controls) => {
      serving = controls;
    },
  };
}

/** The controls of a lab that another process runs. */
export function remoteControls({ control }: Pick<LabDescription, "control">): LabControls {
  const call = async <T>(method: keyof LabControls, ...args: readonly unknown[]): Promise<T> => {
    const { status, body } = await post(control.url, control.secret, { method, args });
    if (status !== 200) throw new Error(body.error ?? `The lab answered ${status}.`);
    return body.result as T;
  };
  return {
    nodes: () => call<readonly LabNode[]>("nodes"),
    machine: (name: string, operation: MachineOperation, unit?: string) =>
      call<string>("machine", name, operation, unit),
    memory: () => call<MemoryUse>("memory"),
    requestDown: () => call<void>("requestDown"),
  };
}

/** Whether a lab with this description runs: its own process listens on its control port. */
export async function isRunning(description: LabDescription): Promise<boolean> {
  return remoteControls(description)
    .nodes()
    .then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code === undefined && error.message.includes("still starting"),
    );
}

function post(
  url: string,
  secret: string,
  body: Call,
): Promise<{ status: number; body: { result?: unknown; error?: string } }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method: "POST", headers: { [secretHeader]: secret }, agent: false }, (incoming) => {
      json(incoming).then(
        (answer) => resolve({ status: incoming.statusCode ?? 0, body: answer as { result?: unknown; error?: string } }),
        reject,
      );
    });
    outgoing.once("error", reject);
    outgoing.end(JSON.stringify(body));
  });
}
