import { type RequestOptions, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { Failure, messageOf } from "#contract/failure-reasons.ts";

/** Who this node is. */
export interface NodeIdentity {
  readonly instanceId: string;
  readonly privateIp: string;
  readonly availabilityZone: string;
  readonly region: string;
}

/** The instance metadata service (version 2, with tokens). Error of all methods: `aws-unavailable`. */
export interface Metadata {
  identity(): Promise<NodeIdentity>;
  /** The lifecycle state that Auto Scaling wants for this instance; undefined for one that no group launched. */
  targetLifecycleState(): Promise<string | undefined>;
  /** The instance's tags; undefined when the instance does not show its tags in its metadata. */
  tags(): Promise<Readonly<Record<string, string>> | undefined>;
}

/** How one request to the service ended. */
export interface MetadataAnswer {
  readonly status: number;
  readonly body: string;
}

/** One HTTP request to the service. Rejects when there is no answer in time. */
export type MetadataRequest = (
  method: "GET" | "PUT",
  path: string,
  headers: Readonly<Record<string, string>>,
) => Promise<MetadataAnswer>;

const endpointVariable = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const defaultEndpoint = "http://169.254.169.254";
const attempts = 3;
const timeoutMs = 1000;

/** Requests over HTTP to the endpoint that the environment names, or to the usual address. */
export const metadataOverHttp =
  (options: { readonly endpoint?: string; readonly sourceAddress?: string } = {}): MetadataRequest =>
  (method, path, headers) =>
    new Promise((resolve, reject) => {
      const endpoint = options.endpoint ?? process.env[endpointVariable] ?? defaultEndpoint;
      const settings: RequestOptions = {
        method,
        headers,
        signal: AbortSignal.timeout(timeoutMs),
        ...(options.sourceAddress === undefined ? {} : { localAddress: options.sourceAddress }),
      };
      const sent = request(new URL(path, endpoint), settings, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") });
        });
      });
      sent.on("error", reject);
      sent.end();
    });

/** The metadata service behind `send`. Each request is tried three times, half a second apart. */
export const makeMetadata = (
  send: MetadataRequest,
  pause: (ms: number) => Promise<unknown> = (ms) => delay(ms),
): Metadata => {
  let token: Promise<string> | undefined;

  const newToken = async (): Promise<string> => {
    const answer = await send("PUT", "/latest/api/token", { "x-aws-ec2-metadata-token-ttl-seconds": "21600" });
    if (answer.status !== 200) throw new Error(`HTTP status ${answer.status} for a token`);
    return answer.body;
  };

  const attempt = async (path: string): Promise<string | undefined> => {
    token ??= newToken();
    try {
      const answer = await send("GET", path, { "x-aws-ec2-metadata-token": await token });
      if (answer.status === 404) return undefined;
      if (answer.status === 200) return answer.body;
      throw new Error(`HTTP status ${answer.status}`);
    } catch (error) {
      // The token may have run out, or never came.
      token = undefined;
      throw error;
    }
  };

  const find = async (path: string): Promise<string | undefined> => {
    for (let tried = 1; ; tried += 1) {
      try {
        return await attempt(path);
      } catch (error) {
        if (tried === attempts) {
          throw new Failure("aws-unavailable", {
            message: `The instance metadata service did not give ${path}, tried ${attempts} times: ${messageOf(error)}.`,
            changed: "Nothing was changed.",
            next: "Check that the metadata service is enabled on this instance with a hop limit that reaches it. Running it again is safe.",
            cause: error,
          });
        }
        await pause(timeoutMs / 2);
      }
    }
  };

  const need = async (path: string): Promise<string> => {
    const found = await find(path);
    if (found !== undefined) return found.trim();
    throw new Failure("aws-unavailable", {
      message: `The instance metadata service does not know ${path}.`,
      changed: "Nothing was changed.",
      next: "Check that this runs on an EC2 instance. Running it again is safe.",
    });
  };

  return {
    identity: async () => {
      const [instanceId, privateIp, availabilityZone, region] = await Promise.all([
        need("/latest/meta-data/instance-id"),
        need("/latest/meta-data/local-ipv4"),
        need("/latest/meta-data/placement/availability-zone"),
        need("/latest/meta-data/placement/region"),
      ]);
      return { instanceId, privateIp, availabilityZone, region };
    },
    targetLifecycleState: async () => (await find("/latest/meta-data/autoscaling/target-lifecycle-state"))?.trim(),
    tags: async () => {
      const list = await find("/latest/meta-data/tags/instance/");
      if (list === undefined) return undefined;
      const keys = list.split("\n").filter((key) => key !== "");
      const entries = await Promise.all(
        keys.map(async (key) => [key, await need(`/latest/meta-data/tags/instance/${encodeURI(key)}`)] as const),
      );
      return Object.fromEntries(entries);
    },
  };
};
