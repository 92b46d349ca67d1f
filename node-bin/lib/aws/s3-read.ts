import { addAbortSignal, Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { S3Client } from "@aws-sdk/client-s3";
import { isTaken, s3Failure } from "./s3-failures.ts";

/** How a broken download is taken up again. */
export interface ReadPatience {
  /** Reconnections in a row without a byte before it is given up. */
  readonly attempts: number;
  /** Wait before the first of them, milliseconds; doubled each time. */
  readonly backoffMs: number;
  /** A connection that brings nothing for this long is given up, milliseconds. */
  readonly idleMs: number;
}

export const readPatience: ReadPatience = { attempts: 6, backoffMs: 200, idleMs: 30_000 };

interface Opened {
  readonly body: Readable;
  readonly size: number;
  readonly etag: string | undefined;
}

/** An object's bytes and its size. */
export interface ObjectRead {
  readonly stream: Readable;
  readonly size: number;
}

/**
 * Opens an object for reading. A connection that breaks or falls silent is replaced by one that goes on at the same byte of the same
 * version of the object, so that a download of hours survives a reset. Throws the SDK's own error when the object cannot be opened.
 */
export const openObject = async (
  client: S3Client,
  bucket: string,
  key: string,
  signal: AbortSignal | undefined,
  patience: ReadPatience,
): Promise<ObjectRead> => {
  const { GetObjectCommand } = await import("./sdk/s3.ts");
  const open = async (offset: number, etag: string | undefined): Promise<Opened> => {
    const answer = await client.send(
      new GetObjectCommand({
        Bucket: bucket,
        Key: key,
        ...(offset > 0 ? { Range: `bytes=${offset}-` } : {}),
        ...(etag === undefined ? {} : { IfMatch: etag }),
      }),
      signal ? { abortSignal: signal } : {},
    );
    const body = answer.Body as Readable;
    // It may break before its reader comes; the reader is told all the same.
    body.on("error", () => {});
    // The client's own signal ends with the head of the answer.
    if (signal) addAbortSignal(signal, body);
    return { body, size: answer.ContentLength ?? 0, etag: answer.ETag };
  };
  const first = await open(0, undefined);
  let current = first;

  async function* bytes(): AsyncGenerator<Uint8Array> {
    const failure = (error: unknown) => s3Failure(error, { action: "s3:GetObject", bucket, key, signal });
    let offset = 0;
    let failures = 0;
    for (;;) {
      let broken: unknown;
      try {
        for await (const chunk of noticingSilence(current.body, patience.idleMs)) {
          offset += chunk.byteLength;
          failures = 0;
          yield chunk;
        }
        if (offset >= first.size) return;
        broken = new Error(`the connection ended after ${offset} of ${first.size} bytes`);
      } catch (error) {
        broken = error;
      }
      for (;;) {
        failures += 1;
        if (signal?.aborted || isTaken(broken) || failures > patience.attempts) throw failure(broken);
        try {
          await delay(patience.backoffMs * 2 ** (failures - 1), undefined, signal ? { signal } : {});
          current = await open(offset, first.etag);
          break;
        } catch (error) {
          broken = error;
        }
      }
    }
  }
  const stream = Readable.from(bytes(), { objectMode: false });
  // A reader that leaves before the first byte never started the generator.
  stream.once("close", () => current.body.destroy());
  return { stream, size: first.size };
};

/** The same chunks; a source that brings none for `idleMs` while one is waited for is destroyed with an error. */
async function* noticingSilence(body: Readable, idleMs: number): AsyncGenerator<Uint8Array> {
  const watch = () =>
    setTimeout(() => body.destroy(new Error(`no byte arrived for ${Math.round(idleMs / 1000)} s`)), idleMs);
  let timer = watch();
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      // A consumer that is slow is no silence of the source's.
      clearTimeout(timer);
      yield chunk;
      timer = watch();
    }
  } finally {
    clearTimeout(timer);
  }
}
