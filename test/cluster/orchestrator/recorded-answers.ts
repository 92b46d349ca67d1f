import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";

/** How a recorded answer is served: the file under `api/`, and the HTTP status that Orchestrator gives with it. */
export interface RecordedAnswer {
  readonly file: string;
  readonly status?: number;
}

const folder = new URL("../../fixtures/orchestrator/api/", import.meta.url);

/** One request as it came. */
export interface SeenRequest {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly from: string | undefined;
}

/** A server that answers as Orchestrator was recorded to. ERROR answers have status 500, as the real ones have. */
export const serveRecordings = async (
  address: string,
  port: number,
): Promise<{
  readonly server: Server;
  readonly seen: SeenRequest[];
  /** Has every request answered with a recording from now on. */
  answerWith(answer: RecordedAnswer): void;
  /** Has every request answered with this text from now on. */
  answerText(status: number, text: string): void;
  /** Leaves every request without an answer from now on. */
  hang(): void;
}> => {
  const seen: SeenRequest[] = [];
  let answer: () => Promise<{ status: number; text: string }>;
  const server = createServer((request, response) => {
    seen.push({
      path: request.url ?? "",
      authorization: request.headers.authorization,
      from: request.socket.remoteAddress,
    });
    answer().then(
      ({ status, text }) => response.writeHead(status, { "content-type": "application/json" }).end(text),
      (error: unknown) => response.destroy(error as Error),
    );
  });
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  return {
    server,
    seen,
    answerWith: ({ file, status }) => {
      answer = async () => {
        const text = await readFile(new URL(file, folder), "utf8");
        return { status: status ?? (/"Code": "ERROR"/.test(text) ? 500 : 200), text };
      };
    },
    answerText: (status, text) => {
      answer = async () => ({ status, text });
    },
    hang: () => {
      answer = () => new Promise(() => {});
    },
  };
};
