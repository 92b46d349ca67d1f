import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/**
 * As much of S3's protocol as a backup and a restore speak, with the parts as files: an emulator that holds its objects in memory cannot
 * take the sizes of the memory test.
 */
export const startSink = async (folder: string): Promise<{ readonly endpoint: string; close(): Promise<void> }> => {
  /** A key's parts lie in a folder of their own. */
  const placeOf = (key: string): string => join(folder, encodeURIComponent(key));
  const partsOf = async (key: string): Promise<{ path: string; size: number }[] | undefined> => {
    const names = await readdir(placeOf(key)).catch(() => undefined);
    if (!names?.includes("complete")) return undefined;
    const paths = names
      .filter((name) => name !== "complete")
      .sort()
      .map((name) => join(placeOf(key), name));
    return Promise.all(paths.map(async (path) => ({ path, size: (await stat(path)).size })));
  };
  const store = async (request: IncomingMessage, key: string, part: string): Promise<void> => {
    await mkdir(placeOf(key), { recursive: true });
    await pipeline(request, createWriteStream(join(placeOf(key), part)));
  };
  const xml = (response: ServerResponse, body: string, status = 200): void => {
    response.writeHead(status, { "content-type": "application/xml", etag: '"e"' });
    response.end(body);
  };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://sink");
    const key = decodeURIComponent(url.pathname.split("/").slice(2).join("/"));
    const query = url.searchParams;
    switch (request.method) {
      case "POST":
        request.resume();
        if (query.has("uploads")) {
          return xml(response, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>");
        }
        await store(request, key, "complete");
        return xml(response, "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>");
      case "PUT": {
        const part = query.get("partNumber");
        await store(request, key, part === null ? "00001" : part.padStart(5, "0"));
        if (part === null) createWriteStream(join(placeOf(key), "complete")).end();
        return xml(response, "");
      }
      case "DELETE":
        await rm(placeOf(key), { recursive: true, force: true });
        response.writeHead(204);
        return void response.end();
      default: {
        if (key === "") {
          const kind = query.has("uploads") ? "ListMultipartUploadsResult" : "ListBucketResult";
          return xml(response, `<${kind}><IsTruncated>false</IsTruncated></${kind}>`);
        }
        const parts = await partsOf(key);
        if (!parts) return xml(response, "<Error><Code>NoSuchKey</Code></Error>", 404);
        response.writeHead(200, { "content-length": parts.reduce((sum, { size }) => sum + size, 0), etag: '"e"' });
        return pipeline(Readable.from(joined(parts), { objectMode: false }), response);
      }
    }
  };
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => response.destroy(error as Error));
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

async function* joined(parts: readonly { readonly path: string }[]): AsyncGenerator<Buffer> {
  for (const { path } of parts) yield* createReadStream(path) as AsyncIterable<Buffer>;
}
