import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import type { Aws } from "#node/lib/aws/clients.ts";
import { startMinistack } from "../ministack.ts";

/** A client of an S3 server on loopback. */
export const s3At = (endpoint: string): Pick<Aws, "s3"> & { readonly client: S3Client } => {
  const client = new S3Client({
    region: "eu-central-1",
    endpoint,
    forcePathStyle: true,
    maxAttempts: 3,
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
  });
  return { client, s3: async () => client };
};

/** A real S3 protocol server with an empty bucket. */
export interface S3Server {
  readonly endpoint: string;
  readonly client: S3Client;
  readonly aws: Pick<Aws, "s3">;
  readonly bucket: string;
  close(): Promise<void>;
}

export const startS3 = async (folder: string): Promise<S3Server> => {
  const bucket = "percona-demo-backups-1";
  const server = await startMinistack(folder, (endpoint) =>
    s3At(endpoint).client.send(new CreateBucketCommand({ Bucket: bucket })),
  );
  const { client, s3 } = s3At(server.endpoint);
  return {
    endpoint: server.endpoint,
    client,
    aws: { s3 },
    bucket,
    close: async () => {
      client.destroy();
      await server.end("SIGKILL");
    },
  };
};

/** What becomes of one request on its way. `answer` gets the whole reply of the server, after the request took effect. */
export interface Fault {
  /** Answers instead of the server. */
  readonly refuse?: { readonly status: number; readonly code: string };
  /** Lets the server do it and cuts the connection instead of bringing the reply. */
  readonly loseReply?: boolean;
  /** Cuts the connection after so many bytes of the reply's body. */
  readonly cutAfter?: number;
}

/** A server between the client and an S3 server. `fault` is asked for each request. */
export const startFaultyWay = async (
  endpoint: string,
  fault: (request: IncomingMessage) => Fault | undefined,
): Promise<{ readonly endpoint: string; close(): Promise<void> }> => {
  const { hostname, port } = new URL(endpoint);
  const server = createServer((incoming: IncomingMessage, outgoing: ServerResponse) => {
    const chosen = fault(incoming);
    if (chosen?.refuse) {
      const { status, code } = chosen.refuse;
      incoming.resume();
      incoming.on("end", () => {
        outgoing.writeHead(status, { "content-type": "application/xml" });
        outgoing.end(
          incoming.method === "HEAD" ? undefined : `<Error><Code>${code}</Code><Message>${code}</Message></Error>`,
        );
      });
      return;
    }
    const { method = "GET", url = "/", headers } = incoming;
    const onward = request({ hostname, port, method, path: url, headers }, (reply) => {
      if (chosen?.loseReply) {
        reply.resume();
        reply.on("end", () => outgoing.destroy());
        return;
      }
      outgoing.writeHead(reply.statusCode ?? 502, reply.headers);
      if (chosen?.cutAfter === undefined) {
        reply.pipe(outgoing);
        return;
      }
      let left = chosen.cutAfter;
      reply.on("data", (chunk: Buffer) => {
        if (left <= 0) return;
        const part = chunk.subarray(0, left);
        left -= part.byteLength;
        outgoing.write(part, () => {
          if (left <= 0) outgoing.destroy();
        });
      });
    });
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
};
