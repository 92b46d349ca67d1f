import type { IncomingMessage } from "node:http";
import { text as textOf } from "node:stream/consumers";
import type { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import type { SignatureV4 } from "@smithy/signature-v4";
import type { QuickCalls } from "./quick-documents.ts";

/** A request of the SDK, of which the place is remembered. */
interface Placed {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
}

const contentType = "application/x-amz-json-1.0";
const target = (operation: string): string => `DynamoDB_20120810.${operation}`;

/**
 * Calls with the credentials, the clock correction, the connections and the timeouts of `client`, at the place where `learnFrom`
 * sends its requests.
 */
export const makeQuickCalls = (
  client: DynamoDBClient,
  learnFrom: readonly DynamoDBClient[],
  Signer: typeof SignatureV4,
): QuickCalls => {
  const { config } = client;
  let place: Placed | undefined;
  for (const { middlewareStack } of learnFrom) {
    middlewareStack.add(
      (next) => (args) => {
        const { protocol, hostname, port, path } = args.request as Placed;
        place = { protocol, hostname, path, ...(port === undefined ? {} : { port }) };
        return next(args);
      },
      { step: "build", priority: "low", name: "rememberPlace" },
    );
  }
  const signer = new Signer({
    service: "dynamodb",
    region: config.region,
    credentials: config.credentials,
    sha256: config.sha256,
  });

  const send = async (operation: string, input: object, { hostname, port, ...way }: Placed) => {
    const body = JSON.stringify(input);
    const signed = await signer.sign(
      {
        ...way,
        method: "POST",
        hostname,
        ...(port === undefined ? {} : { port }),
        headers: {
          host: port === undefined ? hostname : `${hostname}:${port}`,
          "content-type": contentType,
          "content-length": String(Buffer.byteLength(body)),
          "x-amz-target": target(operation),
        },
        query: {},
        body,
      },
      { signingDate: new Date(Date.now() + config.systemClockOffset) },
    );
    const { response } = await config.requestHandler.handle(signed as never);
    const text = await textOf(response.body as IncomingMessage);
    return response.statusCode === 200 ? (JSON.parse(text) as object) : undefined;
  };

  return {
    ready: () => place !== undefined,
    call: async (operation, input) => {
      try {
        return place && (await send(operation, input, place));
      } catch {
        return undefined;
      }
    },
  };
};
