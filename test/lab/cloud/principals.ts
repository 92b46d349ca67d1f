import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { AccessKeys } from "./types.ts";

/** Who may call the lab's AWS. Keys are new for each lab. */
export interface Principals {
  readonly operator: AccessKeys;
  /** What functions of the emulated Lambda sign with; the emulator gives it to them. */
  readonly functions: AccessKeys;
  readonly labSecret: string;
  isLabSecret(given: string | undefined): boolean;
  /** The keys that an instance's metadata service hands out; the access key id names the instance. */
  nodeKeys(instanceId: string): AccessKeys & { readonly sessionToken: string };
  /** `operator`, an instance id, or `lambda`; undefined for a key that this lab did not make. */
  nameOf(accessKeyId: string): string | undefined;
}

const nodePrefix = "ASIANODE";

/** `accountId` is the access key id that functions of the emulated Lambda get. */
export const createPrincipals = (accountId: string): Principals => {
  const key = randomBytes(32);
  const derived = (purpose: string): string => createHmac("sha256", key).update(purpose).digest("base64url");
  const operator: AccessKeys = {
    accessKeyId: `AKIALAB${randomBytes(7).toString("hex").toUpperCase()}`,
    secretAccessKey: derived("operator"),
  };
  const labSecret = derived("lab secret");
  return {
    operator,
    functions: { accessKeyId: accountId, secretAccessKey: derived("functions") },
    labSecret,
    isLabSecret: (given) => {
      const [a, b] = [Buffer.from(given ?? ""), Buffer.from(labSecret)];
      return a.length === b.length && timingSafeEqual(a, b);
    },
    nodeKeys: (instanceId) => ({
      accessKeyId: nodePrefix + instanceId.replace(/^i-/, "").toUpperCase(),
      secretAccessKey: derived(`node ${instanceId}`),
      sessionToken: derived(`session ${instanceId}`),
    }),
    nameOf: (accessKeyId) => {
      if (accessKeyId === operator.accessKeyId) return "operator";
      if (accessKeyId === accountId) return "lambda";
      if (!accessKeyId.startsWith(nodePrefix)) return undefined;
      return `i-${accessKeyId.slice(nodePrefix.length).toLowerCase()}`;
    },
  };
};
