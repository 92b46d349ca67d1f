import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Faults } from "./faults.ts";
import type { Inventory, InventoryInstance } from "./inventory.ts";
import type { Principals } from "./principals.ts";
import type { Closable, MetadataApi } from "./types.ts";

/** The address that AWS uses cannot be bound by everyone; nodes are told this port instead. */
export const metadataPort = 8169;
/** Credentials end after so long; SDKs renew them before. */
const credentialsSeconds = 6 * 3600;
const maxTokenSeconds = 21_600;

export interface MetadataOptions {
  readonly inventory: Inventory;
  readonly principals: Principals;
  readonly faults: Faults;
  readonly place: { readonly accountId: string; readonly region: string };
  /** What Auto Scaling wants the instance to become: `InService`, `Terminated`, or undefined outside a group. */
  readonly targetLifecycleState: (instanceId: string) => string | undefined;
  /** Role of an instance profile. */
  readonly roleOf: (instanceProfileArn: string) => Promise<string | undefined>;
  readonly now: () => number;
}

/** What one path answers; a list of names for a folder. */
type Content = string | undefined | Promise<string | undefined>;

export const createMetadata = (options: MetadataOptions): MetadataApi & Closable => {
  const { inventory, principals, place, now } = options;
  const servers = new Set<Closable>();

  const credentials = (instance: InventoryInstance): string => {
    const { accessKeyId, secretAccessKey, sessionToken } = principals.nodeKeys(instance.instanceId);
    const issued = new Date();
    return JSON.stringify({
      Code: "Success",
      LastUpdated: issued.toISOString(),
      Type: "AWS-HMAC",
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: sessionToken,
      Expiration: new Date(issued.getTime() + credentialsSeconds * 1000).toISOString(),
    });
  };

  const role = async (instance: InventoryInstance): Promise<string | undefined> =>
    instance.instanceProfileArn === undefined ? undefined : options.roleOf(instance.instanceProfileArn);

  const fixed: Readonly<Record<string, (instance: InventoryInstance) => Content>> = {
    "meta-data/ami-id": ({ imageId }) => imageId,
    "meta-data/autoscaling/target-lifecycle-state": ({ instanceId }) => options.targetLifecycleState(instanceId),
    "meta-data/iam/info": async (instance) =>
      instance.instanceProfileArn === undefined
        ? undefined
        : JSON.stringify({ Code: "Success", InstanceProfileArn: instance.instanceProfileArn }),
    "meta-data/iam/security-credentials": role,
    "meta-data/instance-id": ({ instanceId }) => instanceId,
    "meta-data/instance-type": ({ instanceType }) => instanceType,
    "meta-data/local-ipv4": ({ privateIp }) => privateIp,
    "meta-data/placement/availability-zone": ({ availabilityZone }) => availabilityZone,
    "meta-data/placement/region": () => place.region,
    "dynamic/instance-identity/document": (instance) =>
      JSON.stringify({
        accountId: place.accountId,
        architecture: "x86_64",
        availabilityZone: instance.availabilityZone,
        imageId: instance.imageId,
        instanceId: instance.instanceId,
        instanceType: instance.instanceType,
        pendingTime: instance.launchTime,
        privateIp: instance.privateIp,
        region: place.region,
        version: "2017-09-30",
      }),
  };

  const tagsFolder = "meta-data/tags/instance";
  const roleFolder = "meta-data/iam/security-credentials/";

  const content = async (instance: InventoryInstance, path: string): Promise<string | undefined> => {
    const name = path.replace(/\/$/, "");
    const direct = fixed[name];
    if (direct !== undefined) return direct(instance);
    if (name.startsWith(roleFolder)) {
      return name.slice(roleFolder.length) === (await role(instance)) ? credentials(instance) : undefined;
    }
    if (name === tagsFolder || name.startsWith(`${tagsFolder}/`)) {
      if (!instance.metadataTags) return undefined;
      if (name === tagsFolder) return Object.keys(instance.tags).join("\n");
      return instance.tags[name.slice(tagsFolder.length + 1)];
    }
    const children = new Set(
      [...Object.keys(fixed), ...(instance.metadataTags ? [tagsFolder] : [])]
        .filter((known) => known.startsWith(`${name}/`))
        .map((known) => known.slice(name.length + 1).replace(/\/.*$/, "/")),
    );
    return children.size === 0 ? undefined : [...children].sort().join("\n");
  };

  const serve =
    (instanceId: string, tokens: Map<string, number>) => async (request: IncomingMessage, response: ServerResponse) => {
      const answer = (status: number, body = "", headers: Record<string, string> = {}): void => {
        response.writeHead(status, { "content-type": "text/plain", server: "EC2ws", ...headers });
        response.end(request.method === "HEAD" ? undefined : body);
      };
      request.resume();
      const { delayMs, effect } = options.faults.effectsOn({
        principal: instanceId,
        service: "imds",
        operation: undefined,
      });
      if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
      if (effect?.kind === "cut" || effect?.kind === "drop-reply") return void request.socket.resetAndDestroy();
      if (effect?.kind === "black-hole") return;
      if (effect?.kind === "throttle") return answer(503);
      if (effect?.kind === "deny") return answer(403);
      const path = decodeURIComponent(new URL(request.url ?? "/", "http://imds").pathname).replace(/^\/latest\/?/, "");
      if (path === "api/token") {
        if (request.method !== "PUT") return answer(405);
        // A request that came through a proxy or a browser is not the instance's own.
        if (request.headers["x-forwarded-for"] !== undefined || request.headers.origin !== undefined)
          return answer(403);
        const ttl = Number(request.headers["x-aws-ec2-metadata-token-ttl-seconds"]);
        if (!Number.isInteger(ttl) || ttl < 1 || ttl > maxTokenSeconds) return answer(400);
        const token = randomBytes(32).toString("base64url");
        for (const [known, until] of tokens) if (until < now()) tokens.delete(known);
        tokens.set(token, now() + ttl * 1000);
        return answer(200, token, { "x-aws-ec2-metadata-token-ttl-seconds": String(ttl) });
      }
      if (request.method !== "GET" && request.method !== "HEAD") return answer(405);
      const token = request.headers["x-aws-ec2-metadata-token"];
      if (typeof token !== "string" || (tokens.get(token) ?? 0) < now()) return answer(401);
      const instance = inventory.instance(instanceId);
      const found = instance === undefined ? undefined : await content(instance, path);
      return found === undefined ? answer(404) : answer(200, found);
    };

  return {
    port: metadataPort,
    listen: async (instanceId, address) => {
      if (inventory.instance(instanceId) === undefined) {
        throw new Error(`There is no instance ${instanceId}, so its metadata cannot be served. Nothing was started.`);
      }
      const handle = serve(instanceId, new Map());
      const server = createServer((request, response) => {
        handle(request, response).catch(() => response.destroy());
      });
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(metadataPort, address, () => {
          server.removeListener("error", reject);
          resolve();
        });
      });
      const closable: Closable = {
        close: async () => {
          servers.delete(closable);
          const closed = new Promise<void>((resolve) => server.close(() => resolve()));
          server.closeAllConnections();
          await closed;
        },
      };
      servers.add(closable);
      return closable;
    },
    close: async () => {
      await Promise.all([...servers].map((server) => server.close()));
    },
  };
};
